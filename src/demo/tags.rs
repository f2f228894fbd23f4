//! The vendors' tags on the storefront, as sites really paste them.
//!
//! The files in `tags/` name the vendors' real hosts, so that they can be read
//! and compared with what stands on any shop. On the way out every host is
//! moved to its stand-in on loopback; the demo never contacts a vendor.

/// The tags of every page, and those of particular ones, at the stand-ins.
#[derive(Debug)]
pub(super) struct Tags {
    pub(super) head: String,
    pub(super) body_start: String,
    pub(super) body_end: String,
    pub(super) purchase: String,
    pub(super) map: String,
    pub(super) video: String,
    /// The `Link` header that preloads a pixel.
    pub(super) link_header: String,
    /// The `Report-To` header that goes with `NEL`.
    pub(super) report_to_header: String,
}

impl Tags {
    /// The tags, pointing at the stand-ins on `port`.
    pub(super) fn at(port: u16) -> Self {
        let at = |text| at_stand_ins(text, port);
        Self {
            head: at(include_str!("tags/head.html")),
            body_start: at(include_str!("tags/body_start.html")),
            body_end: at(include_str!("tags/body_end.html")),
            purchase: at(include_str!("tags/purchase.html")),
            map: at(include_str!("tags/map.html")),
            video: at(include_str!("tags/video.html")),
            link_header: at(
                "<https://connect.facebook.net/en_US/fbevents.js>; rel=preload; as=script",
            ),
            report_to_header: at(concat!(
                r#"{"group":"nel","max_age":604800,"endpoints":"#,
                r#"[{"url":"https://a.nel.cloudflare.com/report/v4"}]}"#,
            )),
        }
    }
}

/// `text` with every `https://host` and `//host` in it moved to
/// `http://host.localhost:port`, which browsers and curl take to loopback
/// without asking DNS.
pub(super) fn at_stand_ins(text: &str, port: u16) -> String {
    let mut pieces = text.split("//");
    let mut moved = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-')));
        let (host, rest) = end.and_then(|end| piece.split_at_checked(end)).unwrap_or((piece, ""));
        if !host.contains('.') {
            moved.push_str("//");
            moved.push_str(piece);
            continue;
        }
        if moved.ends_with("https:") {
            moved.truncate(moved.len() - "s:".len());
            moved.push(':');
        }
        moved.push_str(&format!("//{host}.localhost:{port}{rest}"));
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_move_to_their_stand_ins() {
        for (text, expected) in [
            ("https://a.example/x?y", "http://a.example.localhost:9/x?y"),
            ("'//bat.bing.com/bat.js'", "'//bat.bing.com.localhost:9/bat.js'"),
            ("https://a.example", "http://a.example.localhost:9"),
            ("src=\"/shop.js\" // a note", "src=\"/shop.js\" // a note"),
        ] {
            assert_eq!(at_stand_ins(text, 9), expected);
        }
    }
}
