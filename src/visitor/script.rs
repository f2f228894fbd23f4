//! The script behind the notice and the link: with it a choice takes effect in
//! the page that is open, and in one that the browser comes back to. Without it
//! the notice's form leads there just as well.

use crate::enforce::browser;
use crate::visitor::page;

use bytes::Bytes;
use http::Response;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{{\n{}{}}}\n",
        browser::served(browser::REVIVE),
        browser::served(include_str!("choose.js"))
    )
});

/// Named after what is in it, so that it can be kept for ever.
static NAME: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(TEXT.as_bytes());
    let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("choose-{hash}.js")
});

/// Its path below the own prefix.
pub(super) fn name() -> &'static str {
    &NAME
}

pub(super) fn answer() -> Response<Bytes> {
    page::script(&Bytes::from_static(TEXT.as_bytes()), true)
}

#[cfg(test)]
mod tests {
    use crate::visitor::trial::{self, Trial};

    #[test]
    fn the_notice_names_the_script_and_the_class_of_its_page() {
        let trial = Trial::new();
        let [notice, link] = [crate::visitor::notice, crate::visitor::link]
            .map(|html| trial::tags(html(&trial.visit(), "/").as_bytes(), "script"));
        assert_eq!(notice.len(), 1);
        assert_eq!(notice[0].attribute("src"), link[0].attribute("src"));
        let script = &notice[0];
        let src = script.attribute("src").unwrap();
        assert_eq!(script.attribute("data-consentry-for"), Some("d"));
        assert!(script.attribute("defer").is_some());
        let path = src.strip_prefix("//shop.example").unwrap();
        let answer = trial.get(path);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/javascript; charset=utf-8");
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        assert_eq!(trial.get("/.consentry/choose-0.js").status(), 404);
    }
}
