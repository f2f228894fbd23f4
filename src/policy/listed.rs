//! Decides on what only filter lists speak of: parameters of some addresses,
//! and policies for pages.

use crate::catalogue::{Identity, Kind, Subject};
use crate::consent::Consent;
use crate::policy::{Policy, Ruling, is_first_party};

use url::Url;

impl Policy {
    /// Decides on a parameter of an address that is asked for as `kind`: most
    /// are somebody's everywhere, some only where a filter list says so.
    #[must_use]
    pub fn decide_parameter(
        &self,
        name: &str,
        (kind, url): (Kind, &Url),
        host: &str,
        consent: &Consent,
    ) -> Ruling<'_> {
        let ruling = self.decide(Subject::Parameter(name), host, consent);
        if ruling.is_known() {
            return ruling;
        }
        let third_party = !is_first_party(url, host);
        match self.catalogue.listed_parameter(name, kind, url, host, third_party) {
            Some(identity) => self.listed_ruling(identity, Subject::Parameter(name), host, consent),
            None => ruling,
        }
    }

    /// The Content-Security-Policies that filter lists add to a page at `url`
    /// until the visitor grants what the list is for.
    pub fn csp_for<'a>(
        &'a self,
        url: &'a Url,
        host: &'a str,
        consent: &'a Consent,
    ) -> impl Iterator<Item = (&'a str, Ruling<'a>)> {
        self.catalogue.csp_for(url, host).map(|(policy, identity)| {
            let subject = Subject::ResponseHeader("content-security-policy");
            (policy, self.listed_ruling(identity, subject, host, consent))
        })
    }

    fn listed_ruling<'p>(
        &'p self,
        identity: Identity<'p>,
        subject: Subject<'_>,
        host: &str,
        consent: &Consent,
    ) -> Ruling<'p> {
        let verdict = self.unless_safe(self.decide_vendor(identity.vendor, consent));
        let ruling = Ruling { verdict, identity: Some(identity), exception: None };
        self.except(ruling, subject, host)
    }
}
