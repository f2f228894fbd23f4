//! An address that a browser takes to a denied host never stays in a page,
//! however it is written.
#![no_main]

mod shop;

use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|address: &str| {
    if address.contains(['"', '&', '\0', '\r']) {
        return;
    }
    let base = Url::parse("https://www.shop.example/a/b").expect("it is an address");
    let denied = base.join(address.trim()).is_ok_and(|url| {
        url.host_str().is_some_and(|host| host.trim_end_matches('.').ends_with("ads.acme.example"))
    });
    let page = format!("<script src=\"{address}\"></script>");
    if let Some(cleared) = shop::rewrite(page.as_bytes(), page.len()) {
        assert_eq!(denied, cleared != page.as_bytes(), "{address:?}");
    }
});
