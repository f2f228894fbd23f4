//! Reads inline code as tokens.
//!
//! A reader and no parser: it knows strings, comments, templates and regular
//! expressions well enough to count braces.

/// The smallest part of code that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'c> {
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

/// Reads code from its beginning.
pub(crate) struct Reader<'c> {
    pub(super) code: &'c [u8],
    pub(super) at: usize,
    pub(super) last: Token<'c>,
    /// For each open template, how deep the braces were at its `${`.
    pub(super) templates: Vec<usize>,
    pub(super) braces: usize,
    /// Parentheses and brackets.
    pub(super) others: usize,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(code: &'c [u8]) -> Self {
        let last = Token::Sign(b';');
        Self { code, at: 0, last, templates: Vec::new(), braces: 0, others: 0 }
    }

    /// How far the code is read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// Whether nothing is open.
    pub(crate) const fn is_at_top(&self) -> bool {
        self.braces == 0 && self.others == 0 && self.templates.is_empty()
    }

    pub(crate) fn peek(&self, ahead: usize) -> Option<u8> {
        self.code.get(self.at + ahead).copied()
    }

    pub(crate) fn next(&mut self) -> Option<Token<'c>> {
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

pub(super) const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

pub(super) const fn is_name_byte(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit()
}
