//! Looks up what names of the own domain stand for, away from the hot path.
//!
//! One task in the background takes the names that pages brought up, asks the
//! name server, and writes the answers where `policy` reads them. An answer
//! lasts as long as its owner says, within reason; then it is fetched again if
//! pages still name it, and forgotten if not. While a name server is silent,
//! the last answer stays: a tracker does not come back because of an outage.

use crate::policy::Aliases;

use domain::base::iana::Rcode;
use domain::base::{Name, Rtype, ToName};
use domain::rdata::Cname;
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How many names wait to be looked up; pages bring up the others again.
const QUEUE: usize = 256;

/// How many are looked up at once.
const AT_ONCE: usize = 8;

/// How many names one alias may pass through.
const MAX_CHAIN: usize = 8;

/// How often answers that ran out are looked for.
const TICK: Duration = Duration::from_secs(5);

/// How soon a name without an answer is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// However short or long an answer claims to last.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Keeps `aliases` filled until nobody uses it any more, asking `server` or,
/// without one, those of the system. Needs a runtime to run on.
pub fn look_up_aliases(aliases: &Arc<Aliases>, server: Option<SocketAddr>) {
    let (sender, names) = mpsc::channel(QUEUE);
    aliases.ask_with(move |name| {
        // A full queue is no loss: the next page names it again.
        let _ = sender.try_send(name.to_owned());
    });
    let first: Vec<String> = aliases
        .expected()
        .iter()
        .cloned()
        .chain(aliases.names().iter().map(ToString::to_string))
        .collect();
    let resolver = Arc::new(StubResolver::from_conf(servers(server)));
    let lookup = Lookup {
        aliases: Arc::downgrade(aliases),
        resolver,
        schedule: Schedule::default(),
        under_way: JoinSet::new(),
    };
    tokio::spawn(lookup.run(names, first));
}

fn servers(server: Option<SocketAddr>) -> ResolvConf {
    let Some(server) = server else { return ResolvConf::default() };
    let mut conf = ResolvConf::new();
    conf.servers.push(ServerConf::new(server, Transport::UdpTcp));
    conf.finalize();
    conf
}

struct Lookup {
    aliases: Weak<Aliases>,
    resolver: Arc<StubResolver>,
    schedule: Schedule,
    under_way: JoinSet<(String, Option<Found>)>,
}

impl Lookup {
    /// Ends when the last policy that reads the answers is gone: the sender of
    /// `names` lives in the table.
    async fn run(mut self, mut names: mpsc::Receiver<String>, mut waiting: Vec<String>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while self.under_way.len() < AT_ONCE
                && let Some(name) = waiting.pop()
            {
                self.begin(name);
            }
            tokio::select! {
                name = names.recv(), if waiting.is_empty() => match name {
                    Some(name) => waiting.push(name),
                    None => return,
                },
                Some(Ok((name, found))) = self.under_way.join_next() => self.keep(&name, found),
                _ = tick.tick() => {
                    let Some(aliases) = self.aliases.upgrade() else { return };
                    for name in self.schedule.due(Instant::now()) {
                        if aliases.take_wanted(&name) || aliases.expected().contains(&name) {
                            waiting.push(name);
                        } else {
                            aliases.forget(&name);
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self, name: String) {
        if !self.schedule.admits(&name) {
            return;
        }
        let resolver = Arc::clone(&self.resolver);
        self.under_way.spawn(async move {
            let found = find(&resolver, &name).await;
            (name, found)
        });
    }

    fn keep(&mut self, name: &str, found: Option<Found>) {
        let Some(aliases) = self.aliases.upgrade() else { return };
        let lasts = found.as_ref().map_or(RETRY, |found| found.lasts);
        match found {
            Some(found) => aliases.learn(name, found.chain),
            None if aliases.knows(name) => {}
            None => aliases.learn(name, Vec::new()),
        }
        self.schedule.set(name, Instant::now() + lasts);
    }
}

/// When each name is to be looked up again.
#[derive(Default)]
struct Schedule {
    /// `None` while it is being looked up.
    due: HashMap<String, Option<Instant>>,
}

impl Schedule {
    /// Whether a name needs looking up: not while that is under way or its
    /// answer still lasts. If so, it is under way from here on.
    fn admits(&mut self, name: &str) -> bool {
        if self.due.contains_key(name) {
            return false;
        }
        self.due.insert(name.to_owned(), None);
        true
    }

    fn set(&mut self, name: &str, due: Instant) {
        self.due.insert(name.to_owned(), Some(due));
    }

    /// Takes out the names whose answers have run out.
    fn due(&mut self, now: Instant) -> Vec<String> {
        let is_due = |due: &Option<Instant>| due.is_some_and(|due| due <= now);
        self.due.extract_if(|_, due| is_due(due)).map(|(name, _)| name).collect()
    }
}

/// What the name server said.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    chain: Vec<String>,
    lasts: Duration,
}

/// The names behind `name`; `None` when nobody answers.
///
/// It asks for addresses, not for the alias: then a name server follows the
/// whole chain in one answer. One that does not is asked about the last name.
async fn find(resolver: &StubResolver, name: &str) -> Option<Found> {
    let mut found = Found { chain: Vec::new(), lasts: LONGEST };
    let mut asked = name.to_owned();
    while let Ok(question) = asked.parse::<Name<Vec<u8>>>() {
        let answer = resolver.query((question, Rtype::A)).await.ok()?;
        if !matches!(answer.header().rcode(), Rcode::NOERROR | Rcode::NXDOMAIN) {
            return None;
        }
        let before = found.chain.len();
        let mut aliases: HashMap<String, (String, u32)> = HashMap::new();
        for record in answer.answer().ok()?.limit_to::<Cname<_>>().flatten() {
            let real = text(&record.data().cname());
            aliases.insert(text(&record.owner()), (real, record.ttl().as_secs()));
        }
        while let Some((real, ttl_s)) = aliases.remove(&asked)
            && found.chain.len() < MAX_CHAIN
        {
            found.lasts = found.lasts.min(Duration::from_secs(u64::from(ttl_s)));
            found.chain.push(real.clone());
            asked = real;
        }
        let has_address = answer.answer().ok()?.flatten().any(|record| record.rtype() == Rtype::A);
        if found.chain.len() == before || found.chain.len() >= MAX_CHAIN || has_address {
            break;
        }
    }
    found.lasts = found.lasts.max(SHORTEST);
    Some(found)
}

/// A name as addresses have it: in lower case, without the last dot.
fn text(name: &impl ToName) -> String {
    let mut text = name.to_vec().to_string();
    text.make_ascii_lowercase();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b13_a_name_is_looked_up_once_until_its_answer_runs_out() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        assert!(schedule.admits("a"));
        assert!(!schedule.admits("a"), "it is under way");
        assert!(schedule.due(now).is_empty());
        schedule.set("a", now + SHORTEST);
        assert!(!schedule.admits("a"), "its answer lasts");
        assert!(schedule.due(now).is_empty());
        assert_eq!(schedule.due(now + SHORTEST), ["a"]);
        assert!(schedule.admits("a"));
    }
}
