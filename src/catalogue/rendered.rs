//! Tells the text that a framework left in a page for itself from code.
//!
//! Next.js and React Router repeat what they rendered on the server as strings
//! in scripts of their own, tags and snippets of trackers included. Those
//! strings run nothing, and without them the page cannot be taken over in the
//! browser. What the framework makes of them later is held there.

use serde::de::IgnoredAny;

/// What stands before the text: the calls with which the frameworks file it.
const FILED_BY: [&str; 6] = [
    "self.__next_f.push(",
    "(self.__next_f=self.__next_f||[]).push(",
    "(self.__next_f = self.__next_f || []).push(",
    "window.__reactRouterContext.streamController.enqueue(",
    "window.__remixContext.streamController.enqueue(",
    "__remixContext.streamController.enqueue(",
];

/// Whether a script does nothing but file text: one such call, whose argument
/// is JSON to its end. Anything more makes it code.
pub(super) fn is_rendered_text(code: &[u8]) -> bool {
    let code = code.trim_ascii();
    let filed = FILED_BY.iter().find_map(|call| code.strip_prefix(call.as_bytes()));
    let text = filed.map(|rest| rest.strip_suffix(b";").unwrap_or(rest).trim_ascii_end());
    text.and_then(|rest| rest.strip_suffix(b")"))
        .is_some_and(|text| serde_json::from_slice::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_only_text_and_nothing_else_is_text() {
        for (code, expected) in [
            (r#"self.__next_f.push([1,"fbq('init', '1')"])"#, true),
            (r#"(self.__next_f=self.__next_f||[]).push([0]);"#, true),
            ("\n window.__reactRouterContext.streamController.enqueue(\"[1]\\n\"); ", true),
            (r#"self.__next_f.push([1,"a"]);fbq('init', '1')"#, false),
            (r#"self.__next_f.push([1,"a"]),fbq('init', ("1"))"#, false),
            (r#"self.__next_f.push(fbq('init', '1'))"#, false),
            (r#"self.__next_f.push([1,"a"+b("c")])"#, false),
            (r#"self.__next_f.push([1,`${fbq('init')}`])"#, false),
            (r#"self.__next_s.push([0,{"children":"fbq('init', '1')"}])"#, false),
            ("fbq('init', '1')", false),
            ("", false),
        ] {
            assert_eq!(is_rendered_text(code.as_bytes()), expected, "{code}");
        }
    }
}
