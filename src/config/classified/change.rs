//! Changes to the file, as text: the fresh one is checked before it is kept.

use crate::dashboard::{Change, NewException, NewVendor, Owned};
use crate::policy::Unlisted;
use crate::purpose::Purpose;

use jiff::civil::Date;
use serde::Deserialize;
use toml::{Spanned, Table, Value};

/// Stands at the top, for whoever opens it.
const HEAD: &str = "\
# What was decided on the dashboard; the ledger's audit trail says by whom. You may change it here, too: it is read
# with the configuration. Comments of your own do not outlive the next change on the dashboard.

";

/// The text after a change.
///
/// # Errors
/// Why the change makes no sense, in words for whoever wants it.
pub fn changed(text: &str, changes: &[Change]) -> Result<String, String> {
    let mut file: Table =
        text.parse().map_err(|error| format!("What was decided before cannot be read: {error}"))?;
    let mut taken = Vec::new();
    for change in changes {
        match change {
            Change::Host { name, vendor } => {
                forget(&mut file, name);
                push(&mut file, "host", [("name", name.as_str()), ("vendor", vendor.as_str())]);
            }
            Change::Vendor(vendor) => {
                forget(&mut file, &vendor.host);
                add_vendor(&mut file, vendor);
            }
            Change::ForgetHost { name } => {
                if !forget(&mut file, name) {
                    return Err(format!("Whose {name} is was not said on the dashboard."));
                }
            }
            Change::Own(owned) => {
                disown(&mut file, &owned.vendor, &owned.site);
                own(&mut file, owned);
            }
            Change::Disown { vendor, site } => {
                if !disown(&mut file, vendor, site) {
                    return Err(format!("Who answers for {vendor} was not said on the dashboard."));
                }
            }
            Change::Except(exception) => except(&mut file, exception),
            Change::TakeBack { line, owner, expires } => {
                let at = exception_at(text, *line, owner, *expires)
                    .filter(|at| !taken.contains(at))
                    .ok_or("This exception has changed meanwhile. Look at it again.")?;
                // Those that went before it in this order have moved it up.
                let moved = taken.iter().filter(|other| **other < at).count();
                edit(&mut file, "exception", |entries| {
                    if at - moved < entries.len() {
                        entries.remove(at - moved);
                    }
                });
                taken.push(at);
            }
            Change::Unlisted { site, unlisted } => {
                edit(&mut file, "unlisted", |all| all.retain(|entry| word(entry, "site") != site));
                let verdict = match unlisted {
                    Unlisted::Allow => "allow",
                    Unlisted::Observe => "observe",
                    Unlisted::Block => "block",
                };
                push(&mut file, "unlisted", [("site", site.as_str()), ("verdict", verdict)]);
            }
        }
    }
    let body = toml::to_string(&file).map_err(|error| format!("It cannot be written: {error}"))?;
    Ok(format!("{HEAD}{body}"))
}

/// Everything of one sort, to be changed; what is no list is none.
fn edit<T>(file: &mut Table, section: &str, edit: impl FnOnce(&mut Vec<Value>) -> T) -> T {
    let mut entries = match file.remove(section) {
        Some(Value::Array(entries)) => entries,
        Some(_) | None => Vec::new(),
    };
    let result = edit(&mut entries);
    if !entries.is_empty() {
        file.insert(section.to_owned(), Value::Array(entries));
    }
    result
}

fn word<'e>(entry: &'e Value, key: &str) -> &'e str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn push<'e>(file: &mut Table, section: &str, keys: impl IntoIterator<Item = (&'e str, &'e str)>) {
    let entry = keys.into_iter().map(|(key, value)| (key.to_owned(), text(value))).collect();
    edit(file, section, |entries| entries.push(Value::Table(entry)));
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn day(day: Date) -> Value {
    let written = day.to_string();
    written.parse().map_or(Value::String(written), Value::Datetime)
}

/// Takes a host from whoever has it; a vendor that nothing is left of goes with
/// it, and so does who answered for it. Whether anybody had it.
fn forget(file: &mut Table, host: &str) -> bool {
    let mut losing = Vec::new();
    edit(file, "host", |entries| {
        entries.retain(|entry| {
            let is_it = word(entry, "name") == host;
            losing.extend(is_it.then(|| word(entry, "vendor").to_owned()));
            !is_it
        });
    });
    edit(file, "vendor", |vendors| {
        for vendor in vendors {
            let id = word(vendor, "id").to_owned();
            let Some(hosts) = hosts_of(vendor) else { continue };
            let before = hosts.len();
            hosts.retain(|other| other.as_str() != Some(host));
            losing.extend((hosts.len() < before).then_some(id));
        }
    });
    for id in &losing {
        // What somebody said of another host of it stays said.
        let is_named =
            edit(file, "host", |hosts| hosts.iter().any(|host| word(host, "vendor") == id));
        let is_gone = !is_named
            && edit(file, "vendor", |vendors| {
                let before = vendors.len();
                vendors.retain_mut(|vendor| {
                    word(vendor, "id") != id
                        || hosts_of(vendor).is_none_or(|hosts| !hosts.is_empty())
                });
                vendors.len() < before
            });
        if is_gone {
            edit(file, "ownership", |entries| entries.retain(|entry| word(entry, "vendor") != id));
        }
    }
    !losing.is_empty()
}

fn hosts_of(vendor: &mut Value) -> Option<&mut Vec<Value>> {
    vendor.get_mut("hosts").and_then(Value::as_array_mut)
}

fn add_vendor(file: &mut Table, vendor: &NewVendor) {
    let purposes = vendor.purposes.iter().map(|purpose| text(Purpose::name(*purpose))).collect();
    let mut entry: Table = [
        ("id", text(&vendor.id)),
        ("name", text(&vendor.name)),
        ("owner", text(&vendor.company)),
        ("purposes", Value::Array(purposes)),
        ("about", text(&vendor.about)),
        ("source", text(&vendor.source)),
        ("hosts", Value::Array(vec![text(&vendor.host)])),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into_iter()
    .collect();
    if !vendor.reason.is_empty() {
        entry.insert("reason".to_owned(), text(&vendor.reason));
    }
    edit(file, "vendor", |vendors| vendors.push(Value::Table(entry)));
}

fn own(file: &mut Table, owned: &Owned) {
    let entry = [
        ("vendor", text(&owned.vendor)),
        ("site", text(&owned.site)),
        ("owner", text(&owned.owner)),
        ("reason", text(&owned.reason)),
        ("review", day(owned.review)),
    ];
    let entry = entry.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
    edit(file, "ownership", |entries| entries.push(Value::Table(entry)));
}

fn disown(file: &mut Table, vendor: &str, site: &str) -> bool {
    edit(file, "ownership", |entries| {
        let before = entries.len();
        entries.retain(|entry| word(entry, "vendor") != vendor || word(entry, "site") != site);
        entries.len() < before
    })
}

fn except(file: &mut Table, exception: &NewException) {
    let given = exception.keys.iter().filter(|(_, value)| !value.is_empty());
    let mut entry: Table = given.map(|(key, value)| ((*key).to_owned(), text(value))).collect();
    entry.extend(exception.expires.map(|expires| ("expires".to_owned(), day(expires))));
    edit(file, "exception", |entries| entries.push(Value::Table(entry)));
}

/// Which of the exceptions in the text is meant, if it is still as it was seen.
fn exception_at(before: &str, line: u32, owner: &str, expires: Date) -> Option<usize> {
    #[derive(Deserialize)]
    struct Places {
        #[serde(default)]
        exception: Vec<Spanned<Value>>,
    }
    let places: Places = toml::from_str(before).ok()?;
    let is_it = |entry: &Spanned<Value>| {
        let above = before.get(..entry.span().start).unwrap_or_default();
        let until = entry.get_ref().get("expires").map(ToString::to_string).unwrap_or_default();
        u32::try_from(above.matches('\n').count() + 1) == Ok(line)
            && word(entry.get_ref(), "owner").trim() == owner
            && until.trim_matches('"') == expires.to_string()
    };
    places.exception.iter().position(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vendor(id: &str, host: &str) -> Change {
        Change::Vendor(NewVendor {
            id: id.into(),
            name: "Acme \"quoted\"".into(),
            company: "Acme Inc.\n[[exception]]".into(),
            purposes: vec![Purpose::Marketing, Purpose::Analytics],
            about: "Shows ads.".into(),
            source: "https://acme.example/".into(),
            reason: String::new(),
            host: host.into(),
        })
    }

    fn owned(vendor: &str, owner: &str) -> Change {
        Change::Own(Owned {
            vendor: vendor.into(),
            site: String::new(),
            owner: owner.into(),
            reason: "orders".into(),
            review: jiff::civil::date(2027, 1, 31),
        })
    }

    fn entries(text: &str, section: &str) -> Vec<Table> {
        let file: Table = text.parse().unwrap();
        let found = file.get(section).and_then(Value::as_array).cloned().unwrap_or_default();
        found.into_iter().map(|entry| entry.as_table().unwrap().clone()).collect()
    }

    #[test]
    fn a_host_has_one_vendor_and_the_last_word_counts() {
        let host =
            |vendor: &str| Change::Host { name: "px.acme.example".into(), vendor: vendor.into() };
        let text = changed("", &[host("ads"), host("maps")]).unwrap();
        let hosts = entries(&text, "host");
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0]["vendor"].as_str(), Some("maps"));
        let text = changed(&text, &[vendor("acme", "px.acme.example")]).unwrap();
        assert!(entries(&text, "host").is_empty());
        assert_eq!(entries(&text, "vendor")[0]["owner"].as_str(), Some("Acme Inc.\n[[exception]]"));
        assert!(entries(&text, "exception").is_empty(), "text became a table: {text}");
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_that_names_it() {
        let also = Change::Host { name: "b.acme.example".into(), vendor: "acme".into() };
        let text = changed(
            "",
            &[vendor("acme", "a.acme.example"), also, owned("acme", "ana"), owned("maps", "ben")],
        )
        .unwrap();
        let forget = |host: &str| [Change::ForgetHost { name: host.into() }];
        assert!(changed(&text, &forget("c.acme.example")).is_err());
        let text = changed(&text, &forget("a.acme.example")).unwrap();
        let hosts = entries(&text, "host");
        assert_eq!(hosts[0]["name"].as_str(), Some("b.acme.example"), "nobody took that back");
        assert_eq!((entries(&text, "vendor").len(), entries(&text, "ownership").len()), (1, 2));
        let text = changed(&text, &forget("b.acme.example")).unwrap();
        assert!(entries(&text, "vendor").is_empty() && entries(&text, "host").is_empty());
        let left = entries(&text, "ownership");
        assert_eq!((left.len(), left[0]["vendor"].as_str()), (1, Some("maps")));
    }

    #[test]
    fn one_person_answers_for_a_vendor_on_a_site() {
        let text = changed("", &[owned("ads", "ana"), owned("ads", "ben")]).unwrap();
        let all = entries(&text, "ownership");
        assert_eq!((all.len(), all[0]["owner"].as_str()), (1, Some("ben")));
        assert!(text.contains("review = 2027-01-31"), "{text}");
        let gone = Change::Disown { vendor: "ads".into(), site: String::new() };
        let text = changed(&text, std::slice::from_ref(&gone)).unwrap();
        assert!(entries(&text, "ownership").is_empty());
        assert!(changed(&text, &[gone]).is_err());
    }

    #[test]
    fn an_exception_is_taken_back_only_as_it_was_seen() {
        let day = jiff::civil::date(2027, 1, 31);
        let except = |owner: &str| {
            let keys = vec![
                ("host", "pay.example".to_owned()),
                ("owner", owner.to_owned()),
                ("path", String::new()),
            ];
            Change::Except(NewException { keys, expires: Some(day) })
        };
        let text = changed("", &[except("ana"), except("ben"), except("cleo")]).unwrap();
        let line = |owner: &str| {
            let at = text.lines().position(|line| line.contains(owner)).unwrap();
            let above: Vec<_> = text.lines().take(at).collect();
            u32::try_from(above.iter().rposition(|line| *line == "[[exception]]").unwrap() + 1)
                .unwrap()
        };
        let take =
            |line, owner: &str, expires| [Change::TakeBack { line, owner: owner.into(), expires }];
        assert!(changed(&text, &take(line("ana"), "ben", day)).is_err());
        assert!(changed(&text, &take(line("ana"), "ana", day.tomorrow().unwrap())).is_err());
        assert!(changed(&text, &take(1, "ana", day)).is_err());
        // Two in one order are the two that are meant, and one cannot go twice.
        let ana = || take(line("ana"), "ana", day);
        let two = changed(&text, &[ana(), take(line("ben"), "ben", day)].concat()).unwrap();
        let left = entries(&two, "exception");
        assert_eq!((left.len(), left[0]["owner"].as_str()), (1, Some("cleo")));
        assert!(changed(&text, &[ana(), ana()].concat()).is_err());
        let two = changed(&text, &[take(line("cleo"), "cleo", day), ana()].concat()).unwrap();
        assert_eq!(entries(&two, "exception")[0]["owner"].as_str(), Some("ben"));
        let gone = take(line("ana"), "ana", day);
        let text = changed(&text, &gone).unwrap();
        let left = entries(&text, "exception");
        assert_eq!((left.len(), left[0]["owner"].as_str()), (2, Some("ben")));
        assert!(!left[0].contains_key("path"));
    }
}
