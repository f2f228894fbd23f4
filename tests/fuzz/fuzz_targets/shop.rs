//! What the targets share: one small policy, and a page sent through the
//! rewriter in pieces.

use consentry::catalogue::{Catalogue, SourceFile};
use consentry::consent::Consent;
use consentry::enforce::html::{OtherTools, PageContext, Rewriter};
use consentry::policy::{Policy, Unlisted};
use encoding_rs::UTF_8;
use std::sync::{Arc, LazyLock};
use url::Url;

const VENDORS: &str = "
[[vendor]]
id = 'acme'
name = 'Acme Ads'
owner = 'Acme'
purposes = ['marketing']
about = 'Ads.'
source = 'https://acme.example'
hosts = ['ads.acme.example', 'cdn.example/acme as script']
inline = [\"acme('init'\"]
cookies = ['_acme', '_acme_*']
parameters = ['acmeid']
";

pub static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let file = SourceFile { name: "fuzz".into(), text: VENDORS.into() };
    let catalogue = Catalogue::compile(&[file]).expect("the vendors above are well written");
    Policy::new(Arc::new(catalogue), Unlisted::Observe, &[VENDORS])
});

/// The page as a visitor who said nothing gets it; `None` when it is refused.
#[allow(dead_code, reason = "not every target rewrites")]
pub fn rewrite(page: &[u8], size: usize) -> Option<Vec<u8>> {
    let context = Arc::new(PageContext {
        policy: POLICY.clone(),
        consent: Consent::silent(),
        before: None,
        host: "www.shop.example".into(),
        url: Url::parse("https://www.shop.example/a/b").expect("it is an address"),
        enforcing: true,
        guarded: false,
        placeholders: consentry::enforce::html::Placeholders::plain("/.consentry/choices"),
        appended: String::new(),
        opening: None,
        memory_bytes: 1 << 20,
        others: OtherTools::default(),
    });
    let mut rewriter = Rewriter::new(context, UTF_8);
    let mut out = Vec::new();
    for piece in page.chunks(size.max(1)) {
        out.extend(rewriter.write(piece).ok()?);
    }
    out.extend(rewriter.finish().ok()?);
    Some(out)
}
