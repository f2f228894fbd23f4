//! Finds the globals that inline code defines.
//!
//! A reader of tokens and no parser: it knows strings, comments, templates and
//! regular expressions well enough to count braces, and takes the few forms in
//! which snippets introduce names. What it cannot follow it leaves out: a name
//! too few is a call that fails as it would with the vendor's file blocked, a
//! name too many is a stand-in nobody asked for.

use std::ops::ControlFlow;

/// Names from one script, at most.
const MAX_NAMES: usize = 50;

/// The longest name that is taken.
const MAX_NAME_BYTES: usize = 64;

/// Shorter names are somebody's loop variable.
const MIN_NAME_BYTES: usize = 3;

/// Words of the language, and names of the platform and of libraries that
/// every page may have: no vendor owns them.
const NEVER: [&str; 96] = [
    "abstract",
    "alert",
    "Array",
    "arguments",
    "async",
    "await",
    "boolean",
    "Boolean",
    "break",
    "case",
    "catch",
    "class",
    "closed",
    "console",
    "const",
    "continue",
    "crypto",
    "customElements",
    "Date",
    "debugger",
    "default",
    "define",
    "delete",
    "document",
    "else",
    "enum",
    "Error",
    "eval",
    "event",
    "export",
    "exports",
    "extends",
    "external",
    "false",
    "fetch",
    "finally",
    "for",
    "frames",
    "function",
    "Function",
    "globalThis",
    "history",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "jQuery",
    "JSON",
    "length",
    "let",
    "localStorage",
    "location",
    "Map",
    "Math",
    "module",
    "name",
    "navigator",
    "new",
    "null",
    "Number",
    "Object",
    "onerror",
    "onload",
    "opener",
    "origin",
    "package",
    "parent",
    "performance",
    "private",
    "Promise",
    "protected",
    "public",
    "require",
    "return",
    "screen",
    "self",
    "sessionStorage",
    "Set",
    "static",
    "status",
    "String",
    "super",
    "switch",
    "this",
    "throw",
    "top",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "while",
    "window",
    "yield",
];

/// The globals that a classic inline script defines, in order: `function NAME(`,
/// `var NAME`, `let`, `const`, `class` and `NAME =` at its top level, and
/// `window.NAME =` anywhere.
///
/// Not among them are flags, `window.NAME = true` and the like: who asks for
/// such a property gets `undefined` without it, which is the truth.
#[must_use]
pub fn declared_globals(code: &[u8]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let _ = Reader::new(code).each_global(|name, is_flag| {
        if !is_flag && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        if names.len() < MAX_NAMES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    names
}

/// Whether a classic inline script defines a global of that name; of a dotted
/// name, its first part.
#[must_use]
pub fn is_defined_in(code: &[u8], name: &str) -> bool {
    let name = name.split('.').next().unwrap_or(name);
    memchr::memmem::find(code, name.as_bytes()).is_some()
        && Reader::new(code)
            .each_global(|found, _| {
                if found == name { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .is_break()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'c> {
    Word(&'c str),
    /// The text of a string without escapes.
    Text(&'c str),
    Sign(u8),
    /// `==`, `=>`, `<=` and others that end in `=` and assign nothing new.
    Other,
    /// A value that is none of these: a number, a regular expression.
    Value,
    /// The end of a line, where a declaration may end without `;`.
    End,
}

struct Reader<'c> {
    code: &'c [u8],
    at: usize,
    last: Token<'c>,
    /// For each open template, how deep the braces were at its `${`.
    templates: Vec<usize>,
    braces: usize,
    /// Parentheses and brackets.
    others: usize,
}

impl<'c> Reader<'c> {
    fn new(code: &'c [u8]) -> Self {
        let last = Token::Sign(b';');
        Self { code, at: 0, last, templates: Vec::new(), braces: 0, others: 0 }
    }

    /// Calls `found` for each global in turn, and says whether it is a flag.
    fn each_global(
        &mut self,
        mut found: impl FnMut(&'c str, bool) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        // The last tokens, newest last; `End`s are left out.
        let mut before = [Token::Sign(b';'); 5];
        let mut declares = false;
        let mut ended_line = true;
        while let Some(token) = self.next() {
            let is_top = self.braces == 0 && self.others == 0;
            let [.., third, second, first] = before;
            let name = match token {
                Token::End => {
                    ended_line = true;
                    continue;
                }
                Token::Sign(b'=') => match before {
                    [.., Token::Word(object), Token::Sign(b'.'), Token::Word(name)]
                        if is_window(object) && !matches!(before, [_, Token::Sign(b'.'), ..]) =>
                    {
                        Some(name)
                    }
                    [
                        _,
                        Token::Word(object),
                        Token::Sign(b'['),
                        Token::Text(name),
                        Token::Sign(b']'),
                    ] if is_window(object) => Some(name),
                    _ => match (third, second, first) {
                        (_, Token::Sign(b'.'), _) => None,
                        (_, _, Token::Word(name)) if is_top => Some(name),
                        _ => None,
                    },
                },
                Token::Word(name) if is_top => match (second, first) {
                    (_, Token::Word("var" | "let" | "const" | "class" | "function"))
                    | (Token::Word("function"), Token::Sign(b'*')) => {
                        declares = matches!(first, Token::Word("var" | "let" | "const"));
                        Some(name)
                    }
                    (_, Token::Sign(b',')) if declares => Some(name),
                    _ => {
                        // Without `;` a line that begins with a word ends a declaration.
                        declares &= !(ended_line && first != Token::Sign(b'='));
                        None
                    }
                },
                Token::Sign(b';') if is_top => {
                    declares = false;
                    None
                }
                _ => None,
            };
            if let Some(name) = name
                && is_takeable(name)
            {
                let is_property =
                    matches!(before, [.., Token::Sign(b'.'), _] | [.., Token::Sign(b']')])
                        && token == Token::Sign(b'=');
                found(name, is_property && self.plain_value_follows())?;
            }
            ended_line = false;
            before.rotate_left(1);
            if let Some(newest) = before.last_mut() {
                *newest = token;
            }
        }
        ControlFlow::Continue(())
    }

    /// Whether a number, a string or a constant comes next.
    fn plain_value_follows(&self) -> bool {
        const CONSTANTS: [&[u8]; 4] = [b"true", b"false", b"null", b"undefined"];
        let rest = self.code.get(self.at..).unwrap_or_default().trim_ascii_start();
        rest.first()
            .is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'"' | b'\'' | b'!' | b'-'))
            || CONSTANTS.iter().any(|constant| rest.starts_with(constant))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.code.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<Token<'c>> {
        let token = self.read()?;
        if token != Token::End {
            self.last = token;
        }
        Some(token)
    }

    fn read(&mut self) -> Option<Token<'c>> {
        loop {
            let byte = self.peek(0)?;
            match (byte, self.peek(1)) {
                (b'\n' | b'\r', _) => {
                    self.at += 1;
                    return Some(Token::End);
                }
                (b'/', Some(b'/')) | (b'<', Some(b'!'))
                    if byte == b'/' || self.is_html_comment() =>
                {
                    self.skip_line();
                }
                (b'/', Some(b'*')) => self.skip_comment(),
                (byte, _) if byte.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
        let byte = self.peek(0)?;
        Some(match byte {
            b'"' | b'\'' => self.string(byte),
            b'`' => {
                self.at += 1;
                self.template()
            }
            b'/' if self.regex_may_stand_here() => self.regex(),
            _ if is_name_start(byte) => self.word(),
            b'0'..=b'9' => {
                while self.peek(0).is_some_and(|byte| is_name_byte(byte) || byte == b'.') {
                    self.at += 1;
                }
                Token::Value
            }
            _ => self.sign(byte),
        })
    }

    fn is_html_comment(&self) -> bool {
        self.code.get(self.at..).is_some_and(|rest| rest.starts_with(b"<!--"))
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n' && byte != b'\r') {
            self.at += 1;
        }
    }

    fn skip_comment(&mut self) {
        let rest = self.code.get(self.at + 2..).unwrap_or_default();
        let end = memchr::memmem::find(rest, b"*/").map_or(rest.len(), |end| end + 2);
        self.at += 2 + end;
    }

    fn string(&mut self, quote: u8) -> Token<'c> {
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => self.at += 2,
                // A string that does not end here never does: the line is no code.
                b'\n' => return Token::Value,
                byte if byte == quote => {
                    let text = self.code.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return std::str::from_utf8(text).map_or(Token::Value, Token::Text);
                }
                _ => self.at += 1,
            }
        }
        Token::Value
    }

    /// The rest of a template, up to its end or the next `${`.
    fn template(&mut self) -> Token<'c> {
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'\\', _) => self.at += 2,
                (b'`', _) => {
                    self.at += 1;
                    return Token::Value;
                }
                (b'$', Some(b'{')) => {
                    self.at += 2;
                    self.templates.push(self.braces);
                    self.braces += 1;
                    return Token::Sign(b'{');
                }
                _ => self.at += 1,
            }
        }
        Token::Value
    }

    /// After a value `/` divides; after anything else a regular expression
    /// begins.
    fn regex_may_stand_here(&self) -> bool {
        match self.last {
            Token::Word(word) => matches!(
                word,
                "return"
                    | "typeof"
                    | "case"
                    | "in"
                    | "of"
                    | "delete"
                    | "void"
                    | "throw"
                    | "new"
                    | "do"
                    | "else"
            ),
            Token::Text(_) | Token::Value => false,
            Token::Sign(sign) => !matches!(sign, b')' | b']' | b'}'),
            Token::Other | Token::End => true,
        }
    }

    fn regex(&mut self) -> Token<'c> {
        let start = self.at;
        self.at += 1;
        let mut in_class = false;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => self.at += 1,
                b'[' => in_class = true,
                b']' => in_class = false,
                b'/' if !in_class => {
                    self.at += 1;
                    while self.peek(0).is_some_and(|byte| byte.is_ascii_alphabetic()) {
                        self.at += 1;
                    }
                    return Token::Value;
                }
                b'\n' => break,
                _ => {}
            }
            self.at += 1;
        }
        // It was a division after all.
        self.at = start + 1;
        Token::Other
    }

    fn word(&mut self) -> Token<'c> {
        let start = self.at;
        while self.peek(0).is_some_and(is_name_byte) {
            self.at += 1;
        }
        let word = self.code.get(start..self.at).unwrap_or_default();
        std::str::from_utf8(word).map_or(Token::Value, Token::Word)
    }

    fn sign(&mut self, byte: u8) -> Token<'c> {
        self.at += 1;
        match byte {
            b'{' => self.braces += 1,
            b'}' => {
                self.braces = self.braces.saturating_sub(1);
                if self.templates.last() == Some(&self.braces) {
                    self.templates.pop();
                    return self.template();
                }
            }
            b'(' | b'[' => self.others += 1,
            b')' | b']' => self.others = self.others.saturating_sub(1),
            b'=' | b'!' | b'<' | b'>' => {
                let mut longer = false;
                while self.peek(0).is_some_and(|next| matches!(next, b'=' | b'>')) {
                    self.at += 1;
                    longer = true;
                }
                if longer {
                    return Token::Other;
                }
            }
            b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'?'
                if self.peek(0) == Some(b'=') =>
            {
                self.at += 1;
                return Token::Other;
            }
            _ => {}
        }
        Token::Sign(byte)
    }
}

fn is_window(word: &str) -> bool {
    matches!(word, "window" | "self" | "globalThis")
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

const fn is_name_byte(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit()
}

fn is_takeable(name: &str) -> bool {
    (MIN_NAME_BYTES..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|byte| is_name_byte(byte) && byte.is_ascii())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !NEVER.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_names_what_it_defines() {
        for (code, names) in [
            ("function track(){}", "track"),
            ("async function track(){} function* walk(){}", "track walk"),
            ("var one1 = 1, two2, three3 = f(a, b), four4;", "one1 two2 three3 four4"),
            ("let abc = 1; const def = 2\nclass Ghi {}", "abc def Ghi"),
            ("window.dataLayer = window.dataLayer || [];", "dataLayer"),
            ("window['_fbq'] = window[\"_hsq\"] = []", "_fbq _hsq"),
            ("self.abc={}; globalThis.def=f()", "abc def"),
            ("window.abc = true; window['def'] = 'x'; window.ghi = 1; self.jkl = !0", ""),
            ("abc = true; var def = 'x'; window.ghi = window.ghi || 1", "abc def ghi"),
            ("_paq = _paq || []; _paq.push(['x']);", "_paq"),
            ("var _gaq = _gaq || []", "_gaq"),
            ("abc = def = 1", "abc def"),
            ("(function(){ var inner = 1; outer = 2; window.shown = []; })()", "shown"),
            ("if (x) { abc = 1 } else { var def }", ""),
            ("for (iii = 0; iii < 3; iii++) {} abc = 1", "abc"),
            ("a.abc = 1; a.window.def = 2; this.ghi = 3", ""),
            ("abc == 1; def === 2; ghi >= 3; jkl <= 4; mno != 5", ""),
            ("abc => 1; (def) => 2", ""),
            ("abc += 1; def ||= 2; ghi ??= 3", ""),
            ("f(abc = 1)", ""),
            ("x = {abc: def = 1}", ""),
            ("\"var abc = 1\"; 'def = 2'; `ghi = ${jkl = 1} mno = 2`; pqr = 3", "pqr"),
            ("`${`${'}'}`}`; abc = 1", "abc"),
            ("// var abc = 1\n/* def = 2 */ ghi = 3", "ghi"),
            ("<!-- abc = 1\ndef = 2\n//-->", "def"),
            ("var abc = /[/\"'{]\\//g, def = 1", "abc def"),
            ("abc = 4 / 2; def = '/'; ghi = (1) / 2 / 3", "abc def ghi"),
            ("x.replace(/\"/g, '{'); abc = 1", "abc"),
            ("return /'/.test(x); abc = 1", "abc"),
            ("var abc\ndef(ghi, jkl)\nmno, pqr", "abc"),
            ("var {abc, def} = ghi; var [jkl] = mno;", ""),
            ("abc = 'it\\'s'; def = \"}\"; ghi = 1", "abc def ghi"),
            ("window = 1; document = 2; name = 3; $ = 4; jQuery = 5; var if1, top, ab", "if1"),
            ("function f(abc = 1) { def = 2 }", ""),
            ("label: abc = 1", "abc"),
            ("d\u{e9}j\u{e0} = 1; abc = 2", "abc"),
            ("window.abc.def = 1; window.ghi()", ""),
            ("window['a b'] = 1; window['1ab'] = 2", ""),
            ("var abc = 1;}}} def = 2", "abc def"),
            ("'never ends\nvar abc = 1", "abc"),
        ] {
            assert_eq!(declared_globals(code.as_bytes()).join(" "), names, "{code}");
        }
    }

    #[test]
    fn the_snippets_that_vendors_give_out() {
        for (code, names) in [
            (
                "window.dataLayer = window.dataLayer || [];\nfunction gtag(){dataLayer.push(arguments);}\ngtag('js', new Date());gtag('config', 'G-X');",
                "dataLayer gtag",
            ),
            (
                "var _hmt = _hmt || [];(function() {var hm = document.createElement(\"script\");hm.src = \"https://hm.baidu.com/hm.js?1\";})();",
                "_hmt",
            ),
            (
                "var Tawk_API=Tawk_API||{}, Tawk_LoadStart=new Date();(function(){var s1=document.createElement(\"script\")})();",
                "Tawk_API Tawk_LoadStart",
            ),
            (
                "_linkedin_partner_id = \"1\";\nwindow._linkedin_data_partner_ids = window._linkedin_data_partner_ids || [];",
                "_linkedin_partner_id _linkedin_data_partner_ids",
            ),
            (
                "!function(f,b,e,v,n,t,s){if(f.fbq)return;n=f.fbq=function(){};if(!f._fbq)f._fbq=n;}(window,document)",
                "",
            ),
        ] {
            assert_eq!(declared_globals(code.as_bytes()).join(" "), names, "{code}");
        }
    }

    #[test]
    fn at_most_fifty_names_of_sixty_four_bytes() {
        let code: String = (0..80).map(|at| format!("var name{at} = {at};")).collect();
        assert_eq!(declared_globals(code.as_bytes()).len(), MAX_NAMES);
        assert!(is_defined_in(code.as_bytes(), "name79"));
        let (fits, long) = ("a".repeat(64), "b".repeat(65));
        assert_eq!(declared_globals(format!("{fits}=1;{long}=2").as_bytes()), [fits]);
    }

    #[test]
    fn a_name_that_kept_code_defines_is_known() {
        let code = b"function fbq() {} window.google = {}; var used = gtag; window.flag = 1";
        for (name, defined) in [
            ("fbq", true),
            ("google.ima", true),
            ("used", true),
            ("flag", true),
            ("gtag", false),
            ("fb", false),
        ] {
            assert_eq!(is_defined_in(code, name), defined, "{name}");
        }
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        for code in [
            &b"\xff\xfe=\xff"[..],
            b"`${`${",
            b"/*",
            b"'\\",
            b"/[",
            b"window[",
            b"}}}]]])))=",
            b"var",
            b"\x00abc\x00=",
        ] {
            let _ = declared_globals(code);
        }
    }
}
