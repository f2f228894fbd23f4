//! What the synthetic visitor does on one site: look, send Global Privacy
//! Control, refuse, accept, and take it back.

use crate::consent::Consent;
use crate::proxy::CANARY_PAGE;
use crate::purpose::PurposeSet;
use crate::site::{Site, day_of};
use crate::watch::self_check::canary;
use crate::watch::self_check::judge::{Bench, Finding};
use crate::watch::self_check::loads;
use crate::watch::self_check::stranger::{Answer, Stranger, Way};

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// What the synthetic visitor has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing.
    Undecided,
    /// Nothing but Global Privacy Control.
    Gpc,
    /// No to everything.
    Refused,
    /// Yes to everything.
    Accepted,
    /// Yes to everything, and then no.
    Withdrawn,
}

impl State {
    /// All of them, in the order in which they are checked.
    pub const ALL: [Self; 5] =
        [Self::Undecided, Self::Gpc, Self::Refused, Self::Accepted, Self::Withdrawn];

    /// The word in metrics and alerts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Gpc => "gpc",
            Self::Refused => "refused",
            Self::Accepted => "accepted",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What was found in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) state: State,
    pub(super) findings: Vec<Finding>,
    /// Why the site's own page could not be looked at; the rest was.
    pub(super) unseen: Option<String>,
}

/// One site, as it is visited.
pub(super) struct Journey<'a> {
    pub(super) way: &'a Way,
    pub(super) site: &'a Site,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) now_s: u64,
}

impl Journey<'_> {
    /// Whether anything is withheld there, so that it can be checked.
    pub(super) fn is_enforced(&self) -> bool {
        self.enforces(&self.canary_path())
    }

    fn enforces(&self, path: &str) -> bool {
        self.site.rules(path, day_of(self.now_s), || 0).mode.enforces()
    }

    fn canary_path(&self) -> String {
        format!("{}{CANARY_PAGE}", self.site.own_prefix)
    }

    /// Visits the site in every state.
    pub(super) async fn visit(&self) -> Vec<Found> {
        let mut all = Vec::new();
        for state in [State::Undecided, State::Gpc] {
            let mut visitor = Stranger::new(self.way, self.host, state == State::Gpc);
            all.push(self.look(state, &mut visitor, &Consent::silent(), Vec::new()).await);
        }
        let no = Consent::chosen(PurposeSet::NECESSARY);
        let mut visitor = Stranger::new(self.way, self.host, false);
        let said = self.choose(&mut visitor, "none", "d").await;
        all.push(self.look(State::Refused, &mut visitor, &no, said).await);

        let mut visitor = Stranger::new(self.way, self.host, false);
        let said = self.choose(&mut visitor, "all", "fapm").await;
        all.push(self.look_granted(&mut visitor, said).await);
        let said = self.choose(&mut visitor, "none", "d").await;
        all.push(self.look(State::Withdrawn, &mut visitor, &no, said).await);
        all
    }

    /// Makes a choice: one POST, and the choice is kept.
    async fn choose(&self, visitor: &mut Stranger<'_>, choice: &str, class: &str) -> Vec<Finding> {
        let prefix = &self.site.own_prefix;
        let about = |what: &str, wrong: String| Finding {
            page: format!("{prefix}/choices"),
            what: what.to_owned(),
            vendor: None,
            wrong,
        };
        let what = format!("the choice `{choice}`");
        match visitor.choose(prefix, choice).await {
            Ok(answer) if answer.status == StatusCode::SEE_OTHER => {}
            Ok(answer) => return vec![about(&what, format!("is answered {}", answer.status))],
            Err(error) => return vec![about(&what, format!("could not be sent: {error}"))],
        }
        match visitor.open(&format!("{prefix}/state")).await {
            Ok(answer) => {
                let said: serde_json::Value =
                    serde_json::from_str(&answer.body).unwrap_or_default();
                let kept = said.get("class").and_then(|class| class.as_str()) == Some(class)
                    && said.get("undecided").and_then(serde_json::Value::as_bool) == Some(false);
                if kept { Vec::new() } else { vec![about(&what, "is not kept".to_owned())] }
            }
            Err(error) => vec![about("the state", format!("could not be asked for: {error}"))],
        }
    }

    /// Looks at the site's page and at the canary with nothing granted.
    async fn look(
        &self,
        state: State,
        visitor: &mut Stranger<'_>,
        consent: &Consent,
        mut findings: Vec<Finding>,
    ) -> Found {
        let unseen = match self.enforces(self.path) {
            false => Some("nothing is withheld on this page".to_owned()),
            true => match visitor.open(self.path).await {
                Ok(answer) => self.judge_page(state, &answer, consent, &mut findings),
                Err(error) => {
                    findings.push(unanswered(self.path, &error));
                    None
                }
            },
        };
        match self.canary(visitor).await {
            Ok(answer) => {
                let rules = self.site.rules(answer.url.path(), day_of(self.now_s), || 0);
                let bench = Bench { policy: &rules.policy, host: self.host, consent };
                findings.extend(bench.canary_withheld(&answer));
                if state == State::Undecided && !loads::of(&answer.body, &answer.url).ask() {
                    findings.push(no_notice(&answer));
                }
            }
            Err(error) => findings.push(unanswered(&self.canary_path(), &error)),
        }
        Found { state, findings, unseen }
    }

    fn judge_page(
        &self,
        state: State,
        answer: &Answer,
        consent: &Consent,
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        if answer.status.is_server_error() || !answer.is_page() {
            return Some(format!("{} answers {}", answer.url.path(), answer.status));
        }
        let rules = self.site.rules(answer.url.path(), day_of(self.now_s), || 0);
        let bench = Bench { policy: &rules.policy, host: self.host, consent };
        let loads = loads::of(&answer.body, &answer.url);
        findings.extend(bench.page(answer, &loads));
        // A page with another consent tool has our link instead.
        let asks = loads.ask() || (self.site.beside_other_cmp && loads.link());
        if state == State::Undecided && !asks {
            findings.push(no_notice(answer));
        }
        None
    }

    /// Looks at the canary with everything granted: it passes.
    async fn look_granted(&self, visitor: &mut Stranger<'_>, mut findings: Vec<Finding>) -> Found {
        match self.canary(visitor).await {
            Ok(answer) => {
                let consent = Consent::chosen(PurposeSet::ALL);
                let rules = self.site.rules(answer.url.path(), day_of(self.now_s), || 0);
                let bench = Bench { policy: &rules.policy, host: self.host, consent: &consent };
                findings.extend(bench.canary_granted(&answer));
            }
            Err(error) => findings.push(unanswered(&self.canary_path(), &error)),
        }
        Found { state: State::Accepted, findings, unseen: None }
    }

    async fn canary(&self, visitor: &mut Stranger<'_>) -> Result<Answer, String> {
        canary::cookies().for_each(|name| visitor.hold(name));
        let answer = visitor.open(&format!("{}?{}", self.canary_path(), canary::query())).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            status => Err(format!("it is answered {status}")),
        }
    }
}

fn unanswered(path: &str, error: &str) -> Finding {
    let wrong = format!("could not be looked at: {error}");
    Finding { page: path.to_owned(), what: "the page".to_owned(), vendor: None, wrong }
}

fn no_notice(answer: &Answer) -> Finding {
    Finding {
        page: answer.url.path().to_owned(),
        what: "the notice".to_owned(),
        vendor: None,
        wrong: "is not in the page, so visitors are not asked".to_owned(),
    }
}
