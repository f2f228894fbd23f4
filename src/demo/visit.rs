//! What the shop knows of whoever asks for a page.

use crate::consent::cookie_values;
use crate::demo::goods::{Tea, tea};

use http::HeaderMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// More than anybody drinks, and short enough for a cookie.
const CART_LIMIT: usize = 24;

/// One visitor, as far as the request tells.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) session: String,
    pub(super) cart: Vec<&'static Tea>,
    /// Whether to show them what we think they like.
    pub(super) personal: bool,
}

impl Visit {
    /// Reads session, cart and permission from a request.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let cookie =
            |name| cookie_values(headers, name).find_map(|value| std::str::from_utf8(value).ok());
        let cart = cookie("cart").unwrap_or_default();
        Self {
            session: cookie("sid")
                .filter(|sid| {
                    !sid.is_empty() && sid.bytes().all(|byte| byte.is_ascii_alphanumeric())
                })
                .map_or_else(new_session, str::to_owned),
            cart: cart.split('.').filter_map(tea).take(CART_LIMIT).collect(),
            personal: personalization_granted(headers),
        }
    }

    /// Puts one more tea in the cart, while there is room.
    pub(super) fn add(&mut self, tea: &'static Tea) {
        if self.cart.len() < CART_LIMIT {
            self.cart.push(tea);
        }
    }

    /// The cart as its cookie holds it.
    pub(super) fn cart_cookie(&self) -> String {
        let slugs: Vec<_> = self.cart.iter().map(|tea| tea.slug).collect();
        if slugs.is_empty() { "none".to_owned() } else { slugs.join(".") }
    }
}

/// What consentry says the visitor agreed to. Asked directly, with nobody in
/// between to say so, the shop personalizes, as shops do today.
fn personalization_granted(headers: &HeaderMap) -> bool {
    let Some(consent) = headers.get("consentry-consent") else { return true };
    consent
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii() == b"personalization=1")
}

fn new_session() -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(1);
    format!("demo{:06}", SESSIONS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_a_grant_personalizes_once_consent_is_told() {
        for (value, expected) in [
            (None, true),
            (Some("functional=0, analytics=0, personalization=1, marketing=0"), true),
            (Some("functional=1, analytics=1, personalization=0, marketing=1"), false),
            (Some("personalization=10"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("consentry-consent", HeaderValue::from_static(value));
            }
            assert_eq!(Visit::read(&headers).personal, expected, "{value:?}");
        }
    }

    #[test]
    fn a_cart_comes_back() {
        let mut headers = HeaderMap::new();
        let cookie = HeaderValue::from_static("sid=abc1; cart=iron-goddess.nonsense.iron-goddess");
        headers.insert("cookie", cookie);
        let visit = Visit::read(&headers);
        assert_eq!(visit.session, "abc1");
        assert_eq!(visit.cart_cookie(), "iron-goddess.iron-goddess");
    }
}
