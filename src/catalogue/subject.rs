//! The thing being judged.

use url::Url;

/// What kind of thing a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An external script.
    Script,
    /// A script whose code stands in the page.
    Inline,
    /// A document in a frame.
    Frame,
    /// An image.
    Image,
    /// A style sheet.
    Style,
    /// A font.
    Font,
    /// Sound or video.
    Media,
    /// A plug-in's object.
    Object,
    /// A hint to connect or to load ahead.
    Hint,
    /// A request that only sends: a ping, a form in the background.
    Connect,
    /// A navigation that the page starts by itself.
    Refresh,
    /// A cookie.
    Cookie,
    /// A header of the request.
    RequestHeader,
    /// A header of the response.
    ResponseHeader,
    /// A parameter of a URL's query.
    Parameter,
    /// A tracking path on the site's own host.
    OwnPath,
    /// The visitor's network address.
    Address,
    /// A key in the browser's storage.
    Storage,
}

impl Kind {
    const ALL: [Self; 18] = [
        Self::Script,
        Self::Inline,
        Self::Frame,
        Self::Image,
        Self::Style,
        Self::Font,
        Self::Media,
        Self::Object,
        Self::Hint,
        Self::Connect,
        Self::Refresh,
        Self::Cookie,
        Self::RequestHeader,
        Self::ResponseHeader,
        Self::Parameter,
        Self::OwnPath,
        Self::Address,
        Self::Storage,
    ];

    /// The word in logs, the ledger and the catalogue.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Inline => "inline",
            Self::Frame => "frame",
            Self::Image => "image",
            Self::Style => "style",
            Self::Font => "font",
            Self::Media => "media",
            Self::Object => "object",
            Self::Hint => "hint",
            Self::Connect => "connect",
            Self::Refresh => "refresh",
            Self::Cookie => "cookie",
            Self::RequestHeader => "header",
            Self::ResponseHeader => "response-header",
            Self::Parameter => "parameter",
            Self::OwnPath => "own-path",
            Self::Address => "address",
            Self::Storage => "storage",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Several kinds at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindSet(u32);

impl KindSet {
    /// Every kind.
    pub const ALL: Self = Self(u32::MAX);

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// Whether every kind in it is in `other`, too.
    pub(super) const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u32))
    }
}

/// One thing that can be let through or withheld.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// Something the browser would fetch.
    Load {
        /// What it would be used as.
        kind: Kind,
        /// The absolute address.
        url: &'a Url,
    },
    /// A path on the site's own host, with its query.
    OwnPath(&'a str),
    /// The code of an inline script, as it stands in the page.
    Inline(&'a [u8]),
    /// A cookie's name.
    Cookie(&'a str),
    /// A request header's name, in lower case.
    RequestHeader(&'a str),
    /// A response header's name, in lower case.
    ResponseHeader(&'a str),
    /// The name of a URL parameter.
    Parameter(&'a str),
    /// A key in the browser's storage.
    Storage(&'a str),
}
