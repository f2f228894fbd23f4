//! What the targets share: one small policy, and a page sent through the
//! rewriter in pieces.

use consentry::catalogue::{Catalogue, SourceFile, Subject};
use consentry::consent::Consent;
use consentry::enforce::html::{OtherTools, PageContext, Rewriter};
use consentry::policy::{Policy, Unlisted};
use encoding_rs::UTF_8;
use http::{HeaderMap, HeaderName, HeaderValue};
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

pub static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let file = SourceFile { name: "fuzz".into(), text: VENDORS.into() };
    let catalogue = Catalogue::compile(&[file]).expect("the vendors above are well written");
    Arc::new(Policy::new(Arc::new(catalogue), Unlisted::Observe, &[VENDORS]))
});

pub const HOST: &str = "www.shop.example";

/// Whether something may not reach a visitor who said nothing.
#[allow(dead_code, reason = "not every target asks")]
pub fn denied(subject: Subject<'_>) -> bool {
    POLICY.decide(subject, HOST, &Consent::silent()).verdict.blocks()
}

/// Fields, one a line, as far as they are any.
#[allow(dead_code, reason = "not every target has some")]
pub fn fields(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(100) {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Bytes as the letters that have their numbers.
#[allow(dead_code, reason = "not every target needs it")]
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What a page is judged by.
#[allow(dead_code, reason = "not every target rewrites")]
pub fn context() -> Arc<PageContext> {
    Arc::new(PageContext {
        policy: Arc::clone(&POLICY),
        consent: Consent::silent(),
        before: None,
        host: HOST.into(),
        url: Url::parse("https://www.shop.example/a/b").expect("it is an address"),
        enforcing: true,
        guarded: false,
        placeholders: consentry::enforce::html::Placeholders::plain("/.consentry/choices"),
        appended: String::new(),
        opening: None,
        memory_bytes: 1 << 20,
        others: OtherTools::default(),
    })
}

/// The page as a visitor who said nothing gets it; `None` when it is refused.
#[allow(dead_code, reason = "not every target rewrites")]
pub fn rewrite(page: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut rewriter = Rewriter::new(context(), UTF_8);
    let mut out = Vec::new();
    for piece in page.chunks(size.max(1)) {
        out.extend(rewriter.write(piece).ok()?);
    }
    out.extend(rewriter.finish().ok()?);
    Some(out)
}
