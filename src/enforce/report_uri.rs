//! The addresses that a site's own policies report to: a browser sends them
//! the page's address and what was loaded, and no policy can forbid that.

/// A Content-Security-Policy without the report addresses that `blocked` says
/// may not be told anything; `None` when all stay. What the policy allows to
/// load stays as it is.
pub(super) fn without_blocked(
    policy: &str,
    mut blocked: impl FnMut(&str) -> bool,
) -> Option<String> {
    let mut changed = false;
    // A comma separates policies, a semicolon their directives.
    let policies: Vec<String> = policy
        .split(',')
        .map(|policy| {
            let directives: Vec<String> = policy
                .split(';')
                .filter_map(|directive| {
                    let mut words = directive.split_ascii_whitespace();
                    if !words.next().is_some_and(|name| name.eq_ignore_ascii_case("report-uri")) {
                        return Some(directive.to_owned());
                    }
                    let all: Vec<&str> = words.collect();
                    let kept: Vec<&str> =
                        all.iter().copied().filter(|address| !blocked(address)).collect();
                    if kept.len() == all.len() {
                        return Some(directive.to_owned());
                    }
                    changed = true;
                    (!kept.is_empty()).then(|| format!(" report-uri {}", kept.join(" ")))
                })
                .collect();
            directives.join(";")
        })
        .collect();
    changed.then(|| policies.join(",").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_who_may_not_know() {
        for (policy, expected) in [
            ("default-src 'self'", None),
            ("default-src 'self'; report-uri /own", None),
            (
                "default-src 'self'; report-uri https://t.example/csp /own; img-src *",
                Some("default-src 'self'; report-uri /own; img-src *"),
            ),
            ("report-uri https://t.example/csp", Some("")),
            (
                "img-src *;REPORT-URI\thttps://t.example/csp, script-src 'none'",
                Some("img-src *, script-src 'none'"),
            ),
        ] {
            let result = without_blocked(policy, |address| address.contains("t.example"));
            assert_eq!(result.as_deref(), expected, "{policy}");
        }
    }
}
