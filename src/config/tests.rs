//! What an operator may rely on, whatever they write.

use super::*;
use crate::policy::Mode;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

const SITE: &str = "[[site]]\norigin = 'http://127.0.0.1:3000'\n";

/// A directory with a `c.toml`, and whatever else is set.
struct Given {
    directory: TempDir,
    variables: Vec<(String, String)>,
    flags: Overrides,
    key_mode: KeyMode,
}

fn given(text: &str) -> Given {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("data/ledger.db");
    std::fs::write(directory.path().join("c.toml"), text).unwrap();
    let flags = Overrides { ledger: Some(ledger), ..Overrides::default() };
    Given { directory, variables: Vec::new(), flags, key_mode: KeyMode::CheckOnly }
}

impl Given {
    fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flags(mut self, change: impl FnOnce(&mut Overrides)) -> Self {
        change(&mut self.flags);
        self
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn load(&self) -> Result<Compiled, Vec<Mistake>> {
        let file = self.directory.path().join("c.toml");
        load(Some(&file), self.variables.clone().into_iter(), &self.flags, self.key_mode)
    }

    fn loads(&self) -> Compiled {
        self.load().unwrap_or_else(|mistakes| panic!("{}", shown(&mistakes)))
    }

    /// All mistakes as an operator sees them, without the directory.
    fn fails(&self) -> String {
        let directory = format!("{}/", self.directory.path().display());
        shown(&self.load().unwrap_err()).replace(&directory, "")
    }
}

fn shown(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

fn check_mistake(text: &str, expected: &[&str]) {
    let shown = given(text).fails();
    for part in expected {
        assert!(shown.contains(part), "{text}\nsays:\n{shown}\nwithout: {part}");
    }
}

#[test]
fn one_line_is_a_configuration() {
    let compiled = given(SITE).loads();
    let site = compiled.sites.find("any.example").unwrap();
    assert_eq!((&*site.name, &*site.own_prefix), ("default", "/.consentry"));
    assert_eq!(first(site).authority, "127.0.0.1:3000");
    assert!(site.address_truncated);
    assert_eq!(compiled.proxy.limits, proxy::Limits::default());
    assert_eq!(compiled.proxy.timeouts, proxy::Timeouts::default());
    assert_eq!(compiled.admin.to_string(), "127.0.0.1:9180");
    assert_eq!(compiled.proxy.trusted_proxies.len(), 2);
    assert_eq!(compiled.warnings, [""; 0]);
}

#[test]
fn a_flag_alone_is_a_configuration() {
    let given = given("").flags(|flags| flags.origin = Some("https://shop.internal".into()));
    let compiled = load(None, std::iter::empty(), &given.flags, KeyMode::CheckOnly).unwrap();
    let site = compiled.sites.find("any.example").unwrap();
    assert_eq!((&*site.name, first(site).authority.as_str()), ("default", "shop.internal"));
    assert_eq!(first(site).scheme, http::uri::Scheme::HTTPS);
}

#[test]
fn hosts_are_read_once_and_named_as_the_wire_names_them() {
    let compiled = given(&format!("{SITE}hosts = ['Shop.Example.', 'bücher.example']")).loads();
    assert_eq!(&*compiled.sites.find("shop.example").unwrap().name, "shop.example");
    assert!(compiled.sites.find("xn--bcher-kva.example").is_some());
    assert!(compiled.sites.find("other.example").is_none());
}

#[test]
fn a_misspelt_key_comes_with_the_right_one() {
    check_mistake(
        "[listener]\nadress = 'x'",
        &["c.toml:2:1: unknown field `adress`", "did you mean `address`?"],
    );
    check_mistake(
        "[listner]",
        &["c.toml:1:2: unknown field `listner`", "did you mean `listener`?"],
    );
    check_mistake(
        &format!("{SITE}mode = 'enforc'"),
        &["c.toml:3:8: unknown variant", "did you mean `enforce`?"],
    );
    check_mistake("[site]\norigin = 'x'", &["c.toml:1:1: ", "`[[site]]`, with two brackets"]);
    check_mistake("listener = 3", &["c.toml:1:12: ", "expected a section, written `[listener]`"]);
}

#[test]
fn every_bad_value_is_shown_where_it_stands() {
    let site = |line: &str| format!("{SITE}{line}");
    for (text, expected) in [
        ("[listener]\naddress = 'localhost:8080'".into(), ["2:11: ", "write `127.0.0.1:8080`"]),
        ("[listener]\naddress = ':80'".into(), ["2:11: ", "`0.0.0.0:80` to listen everywhere"]),
        ("[admin]\naddress = '::1'".into(), ["2:11: ", "add a port: `[::1]:8080`"]),
        ("[admin]\naddress = '127.0.0.1:8080'".into(), ["2:11: visitors connect", "another one"]),
        ("[listener]\nworkers = 5000".into(), ["2:11: 5000 is out of range", "0 to 1024"]),
        ("[listener]\nworkers = -1".into(), ["2:11: ", "-1"]),
        (
            "[listener]\ntrusted_proxies = ['10.0.0.0/8', 'balancer']".into(),
            ["2:34: ", "not a network"],
        ),
        ("[consent]\nnotice_revision = 0".into(), ["2:19: ", "1 to 4294967295"]),
        ("[consent]\nlifetime_days = 400".into(), ["2:17: ", "1 to 395"]),
        ("[limits]\nhead_bytes = 100".into(), ["2:14: ", "8192 to"]),
        ("[timeouts]\nconnect_s = nan".into(), ["2:13: ", "out of range"]),
        ("[timeouts]\nconnect_s = 0".into(), ["2:13: ", "0.01 to 86400"]),
        ("[ledger]\nfile = ''".into(), ["c.toml:2:8: ", "needs a file"]),
        (
            "[lists]\nfiles = ['missing.txt']".into(),
            ["2:10: `missing.txt` cannot be read", "relative path"],
        ),
        ("[catalogue]\nfiles = ['/']".into(), ["2:10: `/` cannot be read", ""]),
        ("[[site]]\nname = 'shop'".into(), ["1:1: this site has no origin", "origin = "]),
        ("[[site]]\norigin = '127.0.0.1:3000'".into(), ["2:10: ", "write `http://127.0.0.1:3000`"]),
        ("[[site]]\norigin = 'ws://shop'".into(), ["2:10: `ws` is no scheme", "`http` or `https`"]),
        (
            "[[site]]\norigin = 'http://shop/a'".into(),
            ["2:10: ", "a path is not supported; put it in"],
        ),
        ("[[site]]\norigin = 'http://a@shop'".into(), ["2:10: ", "no user"]),
        ("[[site]]\norigin = 'http://shop?a'".into(), ["2:10: ", "ends after its port"]),
        ("[[site]]\norigin = 'http://'".into(), ["2:10: ", "empty host"]),
        (site("origin_host = 'a b'"), ["3:15: ", "not a host"]),
        (site("hosts = ['*.shop.example']"), ["3:10: ", "list every host"]),
        (site("hosts = ['shop.example:80']"), ["3:10: ", "without scheme, port or path"]),
        (site("hosts = ['https://shop.example']"), ["3:10: ", "without scheme, port or path"]),
        (site("hosts = ['']"), ["3:10: ", "not a host name"]),
        (site("own_prefix = '/'"), ["3:14: ", "write it like `/.consentry`"]),
        (site("own_prefix = '/a/../b'"), ["3:14: ", "write it like `/.consentry`"]),
        (site("own_prefix = '/a/'"), ["3:14: ", "no slash at the end"]),
        (site("policy_url = 'javascript:alert(1)'"), ["3:14: ", "not a link"]),
        (site("name = \"a\\nb\""), ["3:8: ", "visible"]),
    ] {
        let expected: Vec<&str> = expected.to_vec();
        // The ledger is otherwise set by a flag, which wins.
        let with_ledger = given(&text).flags(|flags| {
            flags.ledger = flags.ledger.take().filter(|_| !text.starts_with("[ledger]"));
        });
        let shown = with_ledger.fails();
        for part in expected {
            assert!(shown.contains(part), "{text}\nsays:\n{shown}\nwithout: {part}");
        }
    }
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let shown = given("[listener]\naddress = 'x'\n[admin]\naddress = 'y'\n[[site]]\norigin = 'z'\nhosts = ['*']\n")
        .set("CONSENTRY_LIMITS__HEAD_FIELDS", "1")
        .fails();
    for place in [
        "c.toml:2:11",
        "c.toml:4:11",
        "c.toml:6:10",
        "c.toml:7:10",
        "CONSENTRY_LIMITS__HEAD_FIELDS: 1 is",
    ] {
        assert!(shown.contains(place), "{place} is missing in:\n{shown}");
    }
}

#[test]
fn two_sites_cannot_have_one_host_or_one_name() {
    let two = |a: &str, b: &str| format!("{SITE}{a}\n{SITE}{b}\n");
    let text = two(
        "name = 'a'\nhosts = ['a.example', 's.example']",
        "name = 'b'\nhosts = ['b.example', 'S.example']",
    );
    check_mistake(&text, &["c.toml:8:23: the host `s.example` belongs to both `a` and `b`"]);
    check_mistake(
        &two("name = 'a'", "name = 'b'"),
        &["c.toml:4:1: both `a` and `b` answer to any host"],
    );
    let text = two("name = 'a'\nhosts = ['a.example']", "hosts = ['b.example']\nname = 'a'");
    check_mistake(&text, &["c.toml:8:8: a second site is called `a`"]);
}

#[test]
fn no_origin_says_what_to_type() {
    check_mistake(
        "",
        &["c.toml: no origin", "consentry serve --origin http://localhost:3000", "[[site]]"],
    );
    let given = given("").flags(|flags| flags.mode = Some(Mode::Observe));
    assert!(given.fails().contains("consentry serve --origin"), "{}", given.fails());
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let given =
        given(&format!("{SITE}[listener]\naddress = '127.0.0.1:1'\n[timeouts]\nconnect_s = 1"));
    assert_eq!(given.loads().proxy.listen.port(), 1);
    let given = given
        .set("CONSENTRY_LISTENER__ADDRESS", "127.0.0.1:2")
        .set("CONSENTRY_LISTENER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,")
        .set("CONSENTRY_TIMEOUTS__CONNECT_S", "1.5")
        .set("CONSENTRY_SITE__MODE", "observe")
        .set("CONSENTRY_SITE__ADDRESS_TRUNCATED", "false");
    let compiled = given.loads();
    assert_eq!(compiled.proxy.listen.port(), 2);
    assert_eq!(compiled.proxy.trusted_proxies.len(), 2);
    assert_eq!(compiled.proxy.timeouts.connect, Duration::from_millis(1500));
    let site = compiled.sites.find("x").unwrap();
    assert_eq!((site.mode, site.address_truncated), (Mode::Observe, false));
    let given = given.flags(|flags| {
        flags.listen = Some("127.0.0.1:3".parse().unwrap());
        flags.mode = Some(Mode::Enforce);
        flags.origin = Some("http://other:80".into());
    });
    let compiled = given.loads();
    let site = compiled.sites.find("x").unwrap();
    assert_eq!((compiled.proxy.listen.port(), site.mode), (3, Mode::Enforce));
    assert_eq!(first(site).authority, "other");
}

fn first(site: &crate::site::Site) -> &crate::site::Origin {
    site.origins.iter().next().unwrap()
}

#[test]
fn k3_a_site_has_one_origin_or_several() {
    let several = "[[site]]\norigins = ['http://10.0.0.1:3000', 'https://shop.internal']\n";
    let urls = |given: &Given| -> Vec<String> {
        let compiled = given.loads();
        let site = compiled.sites.find("x").unwrap();
        site.origins.iter().map(|origin| origin.url.to_string()).collect()
    };
    assert_eq!(urls(&given(several)), ["http://10.0.0.1:3000", "https://shop.internal"]);
    let flagged = given(several).flags(|flags| flags.origin = Some("http://other".into()));
    assert_eq!(urls(&flagged), ["http://other"], "a flag wins over the file");
    let set = given(SITE).set("CONSENTRY_SITE__ORIGINS", "http://a, http://b");
    assert_eq!(urls(&set), ["http://a", "http://b"]);
    for (text, line, expected) in [
        (format!("{SITE}origins = ['http://a']\n"), 2, "both `origin` and `origins` are set"),
        ("[[site]]\norigins = []\n".to_owned(), 1, "this site has no origin"),
        (
            "[[site]]\norigins = ['http://a', 'http://A:80']\n".to_owned(),
            2,
            "`http://a` is listed twice",
        ),
        ("[[site]]\norigins = ['http://a', 'b']\n".to_owned(), 2, "`b` has no scheme"),
        (format!("{SITE}origin_http2 = 'yes'\n"), 3, "`yes`: origin_http2 is"),
        (format!("{SITE}[site.health]\npath = 'up'\n"), 4, "`up` is not a path"),
        (format!("{SITE}[site.health]\nfailures = 0\n"), 4, "0 is out of range"),
        (format!("{SITE}[site.health]\npaht = '/'\n"), 4, "unknown field `paht`"),
    ] {
        let shown = given(&text).fails();
        let starts = format!("c.toml:{line}:");
        assert!(shown.starts_with(&starts) && shown.contains(expected), "{text}: {shown}");
    }
    let many: Vec<_> = (0..65).map(|port| format!("'http://a:{}'", 1000 + port)).collect();
    let shown = given(&format!("[[site]]\norigins = [{}]\n", many.join(", "))).fails();
    assert!(shown.contains("a site can have 64 origins"), "{shown}");
}

#[test]
fn a_value_can_stand_in_a_file_of_its_own() {
    let given = given("");
    let secret = given.file("origin", "http://from.file:3000\n");
    let given = given.set("CONSENTRY_SITE__ORIGIN_FILE", &secret);
    assert_eq!(first(given.loads().sites.find("x").unwrap()).authority, "from.file:3000");
    let shown = given.set("CONSENTRY_SITE__ORIGIN", "http://a").fails();
    assert!(
        shown.contains("CONSENTRY_SITE__ORIGIN_FILE: `CONSENTRY_SITE__ORIGIN` sets the same key"),
        "{shown}"
    );
}

#[test]
fn a_key_that_ends_in_file_is_that_key() {
    let given = given(SITE).set("CONSENTRY_CONSENT__KEYS_FILE", "somewhere.keys");
    assert!(given.load().is_ok());
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, expected) in [
        ("CONSENTRY_LISTENER__ADRESS", "x", "did you mean `CONSENTRY_LISTENER__ADDRESS`?"),
        ("CONSENTRY_WILDEBEEST", "x", "CONSENTRY_WILDEBEEST: no key has this name"),
        (
            "CONSENTRY_LISTENER__WORKERS",
            "many",
            "CONSENTRY_LISTENER__WORKERS: `many` is not a whole number",
        ),
        ("CONSENTRY_SITE__ADDRESS_TRUNCATED", "no", "`no` is not `true` or `false`"),
        ("CONSENTRY_SITE__MODE", "off", "CONSENTRY_SITE__MODE: unknown variant `off`"),
        (
            "CONSENTRY_ADMIN__ADDRESS",
            "localhost:1",
            "CONSENTRY_ADMIN__ADDRESS: `localhost:1` is not",
        ),
        (
            "CONSENTRY_SITE__ORIGIN_FILE",
            "/missing",
            "CONSENTRY_SITE__ORIGIN_FILE: `/missing` cannot be read",
        ),
    ] {
        let shown = given(SITE).set(name, value).fails();
        assert!(shown.contains(expected), "{name}={value} says:\n{shown}\nwithout: {expected}");
    }
}

#[test]
fn variables_that_are_not_ours_to_read_are_left_alone() {
    let given = given(SITE)
        .set("CONSENTRY_LOG", "debug")
        .set("CONSENTRY_REQUIRE", "x")
        .set("CONSENTRY_PORT", "tcp://10.0.0.1:80")
        .set("CONSENTRY_PORT_80_TCP_ADDR", "10.0.0.1")
        .set("CONSENTRY_SERVICE_HOST", "10.0.0.1")
        .set("PATH", "/bin");
    given.loads();
}

#[test]
fn an_origin_flag_needs_a_single_site() {
    let text = format!(
        "{SITE}name = 'a'\nhosts = ['a.example']\n{SITE}name = 'b'\nhosts = ['b.example']\n"
    );
    let given = given(&text).flags(|flags| flags.mode = Some(Mode::Observe));
    assert!(given.loads().sites.iter().all(|site| site.mode == Mode::Observe));
    let shown = given.flags(|flags| flags.origin = Some("http://c".into())).fails();
    assert!(shown.contains("--origin: sets `origin` of the only site, but there are 2"), "{shown}");
}

#[test]
fn a_certificate_needs_a_key_and_both_need_to_be_readable() {
    let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
    let given = given(SITE);
    let cert = given.file("cert.pem", &made.cert.pem());
    let key = given.file("key.pem", &made.signing_key.serialize_pem());
    let tls = |cert: &str, key: &str| {
        let text = format!("{SITE}[listener]\ntls_cert_file = '{cert}'\ntls_key_file = '{key}'\n");
        given.file("c.toml", &text);
    };
    tls(&cert, &key);
    assert_eq!(
        given.loads().proxy.tls,
        [proxy::TlsFiles { cert: (&cert).into(), key: (&key).into(), ocsp: None }]
    );
    for (cert, key, expected) in [
        ("/missing.pem", key.as_str(), "c.toml:4:17: `/missing.pem` cannot be read"),
        (cert.as_str(), "", "c.toml:4:17: a certificate without its key"),
        ("", key.as_str(), "c.toml:5:16: a key without its certificate"),
        (key.as_str(), cert.as_str(), "certificate and key look swapped"),
    ] {
        tls(cert, key);
        let shown = given.fails();
        assert!(shown.contains(expected), "{shown}\nwithout: {expected}");
    }
    // Half a pair is mended by a flag.
    tls(&cert, "");
    given.flags(|flags| flags.tls_key = Some(key.into())).loads();
}

#[test]
fn checking_writes_nothing_and_starting_makes_keys_for_its_owner_alone() {
    let mut given = given(SITE);
    let data = given.directory.path().join("data");
    given.loads();
    assert!(!data.exists());
    given.key_mode = KeyMode::Create;
    let record = crate::consent::Record {
        granted: crate::purpose::PurposeSet::ALL,
        decided: crate::purpose::PurposeSet::ALL,
        made_under_gpc: false,
        after_doubt: false,
        notice_revision: 1,
        time_s: 1,
        receipt: crate::consent::ReceiptId::new([0; 16]),
        vendors: crate::consent::VendorChoices::default(),
    };
    let choice =
        |compiled: &Compiled| compiled.sites.find("x").unwrap().consent.keys.sign("s", &record);
    let first = choice(&given.loads());
    let mode = std::fs::metadata(data.join("ledger.db.keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(first, choice(&given.loads()), "a restart keeps the keys");
}

#[test]
fn a_bad_configuration_leaves_no_keys_behind() {
    let mut given = given("[[site]]\norigin = 'x'");
    given.key_mode = KeyMode::Create;
    given.fails();
    assert!(!given.directory.path().join("data").exists());
}

#[test]
fn keys_that_cannot_be_kept_are_a_warning() {
    let mut given =
        given(SITE).flags(|flags| flags.ledger = Some("/proc/consentry/ledger.db".into()));
    given.key_mode = KeyMode::Create;
    let compiled = given.loads();
    assert!(
        compiled.warnings[0].contains("forgets what visitors chose"),
        "{:?}",
        compiled.warnings
    );
}

#[test]
fn bad_or_open_keys_are_told() {
    let given = given(SITE);
    let keys = given.file("keys", "# mine\nabc\n");
    let given = given.set("CONSENTRY_CONSENT__KEYS_FILE", &keys);
    assert!(
        given.fails().contains("keys: line 2: a key is 64 hexadecimal digits"),
        "{}",
        given.fails()
    );
    std::fs::write(&keys, "1".repeat(64)).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(given.loads().warnings[0].contains("chmod 600"));
}

#[test]
fn the_operators_catalogue_corrects_ours_and_its_mistakes_are_shown() {
    let vendor = "[[vendor]]\nid = 'own'\nname = 'Own'\nowner = 'Own'\npurposes = ['analytics']\nabout = 'x'\nsource = 'x'\nhosts = ['own.example']\n";
    let (without, given) = (given(SITE), given(SITE));
    let good = given.file("good.toml", vendor);
    let bad = given.file("bad.toml", &vendor.replace("analytics", "analitics"));
    let given = given.flags(|flags| flags.catalogue = vec![good.into()]);
    let compiled = given.loads();
    assert!(compiled.catalogue.vendor("own").is_some());
    assert_ne!(
        compiled.sites.find("x").unwrap().policy.revision(),
        without.loads().sites.find("x").unwrap().policy.revision(),
    );
    let shown = given.flags(|flags| flags.catalogue.push(bad.into())).fails();
    assert!(shown.contains("bad.toml:5:13: unknown purpose `analitics`"), "{shown}");
}

#[test]
fn a_missing_file_is_a_mistake_of_its_own() {
    let path = Path::new("/missing/consentry.toml");
    let mistakes = load(Some(path), std::iter::empty(), &Overrides::default(), KeyMode::CheckOnly)
        .unwrap_err();
    assert!(shown(&mistakes).starts_with("/missing/consentry.toml: cannot be read: "));
}

#[test]
fn d10_what_scripts_are_told_is_part_of_what_a_page_is() {
    let revision = |more: &str| {
        let sites = given(&format!("{more}{SITE}")).loads().sites;
        sites.find("x").unwrap().policy.revision().to_string()
    };
    let site = |line: &str| {
        let sites = given(&format!("{SITE}{line}\n")).loads().sites;
        sites.find("x").unwrap().policy.revision().to_string()
    };
    let plain = revision("");
    assert_eq!(plain, site("google_consent = 'auto'"));
    let changed = [
        site("google_consent = 'always'"),
        site("google_consent = 'off'"),
        site("script_api = true"),
        revision("[danger]\ngoogle_pings = true\n"),
    ];
    assert!(changed.iter().all(|other| *other != plain), "{changed:?}");
    for (line, said) in [
        ("google_consent = 'allways'", "3:18: `allways`: google_consent is one of"),
        ("bridges = ['tcf', 'wordpres']", "3:19: `wordpres` is no bridge"),
    ] {
        let shown = given(&format!("{SITE}{line}\n")).fails();
        assert!(shown.contains(said), "{shown}");
    }
}

#[test]
fn g3_a_webhooks_address_is_never_repeated_whatever_is_wrong_with_it() {
    for (url, wrong) in [
        ("hooks.example/T0/s3cret", "`webhook_url` is no address"),
        ("htps://hooks.example/s3cret", "`webhook_url` begins with neither `http://` nor"),
        ("https://hooks.example:s3cret/x", "`webhook_url` cannot be read as an address"),
        ("https://[hooks]/s3cret", "`webhook_url` cannot be read as an address"),
    ] {
        let shown = given(&format!("[alerts]\nlog = true\nwebhook_url = '{url}'\n{SITE}")).fails();
        assert!(shown.contains(&format!("c.toml:3:15: {wrong}")), "{shown}");
        assert!(!shown.contains("s3cret"), "{shown}");
        let set = given(SITE).set("CONSENTRY_ALERTS__WEBHOOK_URL", url).fails();
        assert!(set.contains("CONSENTRY_ALERTS__WEBHOOK_URL") && !set.contains("s3cret"), "{set}");
    }
    let url = file::default("https://hooks.example/s3cret".to_owned());
    let written = WrittenAlerts { webhook_url: url, ..Default::default() };
    assert!(!format!("{written:?}").contains("s3cret"));
}

#[test]
fn g9_whoever_sets_how_long_is_kept_hears_that_it_is_not_about_the_shared_ledger() {
    let shared = "[ledger]\npostgres_url = 'postgres://db.example/consentry'\n";
    let notes = |more: &str| given(&format!("{shared}{more}{SITE}")).loads();
    let silent = notes("");
    assert_eq!((silent.notes.len(), silent.warnings.len()), (0, 0), "nobody set anything");
    assert_eq!(notes("keep_days = 0\n").notes, [""; 0], "for ever is for ever");
    let told = notes("keep_days = 30\n");
    assert!(told.notes[0].contains("c.toml:3: `keep_days` is about this proxy's own ledger"));
    assert_eq!((told.notes.len(), told.warnings.len()), (1, 0));
    let variable = given(&format!("{shared}{SITE}")).set("CONSENTRY_LEDGER__KEEP_DAYS", "400");
    let notes = variable.loads().notes;
    assert!(notes[0].starts_with("CONSENTRY_LEDGER__KEEP_DAYS: `keep_days`"), "{notes:?}");
    assert_eq!(given(&format!("[ledger]\nkeep_days = 30\n{SITE}")).loads().notes, [""; 0]);
}
