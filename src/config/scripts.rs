//! Checks what a site's scripts are told.

use crate::config::findings::Findings;
use crate::enforce::browser::GoogleConsent;
use crate::mistake::closest;
use crate::site::Bridge;

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

/// Software on the pages that is told of choices, or tells of them.
pub(super) fn bridges(written: &[Spanned<String>], findings: &mut Findings<'_>) -> Vec<Bridge> {
    let mut bridges = Vec::new();
    for entry in written {
        let name = entry.get_ref();
        match Bridge::from_name(name) {
            Some(bridge) if bridges.contains(&bridge) => {}
            Some(bridge) => bridges.push(bridge),
            None => {
                let known = Bridge::ALL.map(Bridge::name);
                let advice = match closest(name, known.into_iter()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("there are {}", known.join(", ")),
                };
                findings.wrong_with_advice(entry, format!("`{name}` is no bridge"), advice);
            }
        }
    }
    bridges
}
