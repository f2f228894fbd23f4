//! Checks what a site's scripts are told.

use crate::config::findings::Findings;
use crate::enforce::browser::GoogleConsent;

use toml::Spanned;

/// Which pages tell Google's tags what the visitor agreed to.
pub(super) fn google_consent(
    written: &Spanned<String>,
    findings: &mut Findings<'_>,
) -> GoogleConsent {
    let name = written.get_ref();
    GoogleConsent::from_name(name).unwrap_or_else(|| {
        let names = GoogleConsent::NAMES.join("`, `");
        findings.wrong(written, format!("`{name}`: google_consent is one of `{names}`"));
        GoogleConsent::default()
    })
}
