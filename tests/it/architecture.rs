//! The map and the habits of the house.
//!
//! `src/lib.rs` lists the rooms in reading order; what is said there is held here. Every failure
//! is a sentence that says where, and what to do about it.

mod source;

use source::Code;

use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 600;

/// Words that name nothing: a file called so collects whatever has no better place.
const EMPTY_WORDS: [&str; 13] = [
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "manager",
    "handler",
    "handlers",
    "controller",
    "misc",
    "process",
    "data",
    "info",
];

/// Modules of the standard library that reach outside the program.
const OUTSIDE: [&str; 3] = ["env", "fs", "process"];

/// Signs of sockets, clocks and waiting.
const SIDE_EFFECTS: [(&[&str], &str); 7] = [
    (&["TcpStream"], "opens connections"),
    (&["TcpListener"], "listens"),
    (&["UdpSocket"], "opens sockets"),
    (&["SystemTime", "::", "now"], "reads the clock"),
    (&["Instant", "::", "now"], "reads the clock"),
    (&["Timestamp", "::", "now"], "reads the clock"),
    (&["tokio", "::"], "waits"),
];

/// The rooms, and every file under `src` but `lib.rs` and `main.rs`.
struct House {
    rooms: Vec<String>,
    files: Vec<File>,
}

struct File {
    /// From the repository's root, as in `src/policy/mod.rs`.
    path: String,
    /// The top-level module it belongs to.
    room: String,
    /// How many modules deep it is: 1 for a room's own file.
    depth: usize,
    lines: usize,
    code: Code,
}

impl House {
    /// The house as it stands on disk.
    fn open() -> Self {
        let mut files = Vec::new();
        collect(&root().join("src"), &mut files);
        files.sort();
        let files = files.iter().map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        });
        Self::build(&text("src/lib.rs"), files)
    }

    fn build(map: &str, files: impl IntoIterator<Item = (String, String)>) -> Self {
        let rooms = Code::read(map).modules().map(|name| name.text.clone()).collect();
        let files = files
            .into_iter()
            .filter(|(path, _)| path != "src/lib.rs" && path != "src/main.rs")
            .map(|(path, text)| File::read(path, &text))
            .collect();
        Self { rooms, files }
    }

    fn position(&self, room: &str) -> Option<usize> {
        self.rooms.iter().position(|name| name == room)
    }

    /// Rooms and files that do not know each other.
    fn strays(&self) -> Vec<String> {
        let lost = self.files.iter().filter(|file| self.position(&file.room).is_none()).map(|file| {
            format!(
                "{}:1: belongs to no room; move it into one, or add `pub mod {};` to src/lib.rs with a line that \
                 says what the room is for",
                file.path, file.room
            )
        });
        let empty = self.rooms.iter().filter(|room| !self.files.iter().any(|file| file.room == **room)).map(|room| {
            format!("src/lib.rs: the room `{room}` has no file; write src/{room}.rs or take it off the map")
        });
        lost.chain(empty).collect()
    }

    /// Uses of a room by one that stands above it.
    fn climbs(&self) -> Vec<String> {
        let mut found = Vec::new();
        for file in &self.files {
            let Some(own) = self.position(&file.room) else { continue };
            for name in
                file.code.named_under("crate").chain(file.code.named_by_climbing(file.depth))
            {
                let (path, room, line) = (&file.path, &file.room, name.line);
                if name.text == "*" {
                    found.push(format!(
                        "{path}:{line}: imports every room at once; name the ones it needs"
                    ));
                } else if self.position(&name.text).is_some_and(|other| other > own) {
                    found.push(format!(
                        "{path}:{line}: `{room}` uses `{}`, which stands below it in src/lib.rs; let the lower room \
                         call this one, or move what both need above them",
                        name.text
                    ));
                }
            }
        }
        found
    }

    /// Places in `room` that name `other`.
    fn uses(&self, room: &str, other: &str) -> Vec<String> {
        let files = self.files.iter().filter(|file| file.room == room);
        files
            .flat_map(|file| {
                file.code.named_under("crate").filter(|name| name.text == other).map(|name| {
                    format!(
                        "{}:{}: `{room}` names `{other}`; what the hot path knows comes in as `Sites`, what it learns \
                         goes out as `Entry`s, and nothing else crosses",
                        file.path, name.line
                    )
                })
            })
            .collect()
    }

    /// I/O, clocks and waiting in the rooms that only decide.
    fn side_effects(&self) -> Vec<String> {
        let last = self.rooms.iter().rposition(|room| room == "policy" || room == "enforce");
        let deciding: Vec<_> = self.rooms.iter().take(last.map_or(0, |last| last + 1)).collect();
        let mut found = Vec::new();
        for file in self.files.iter().filter(|file| deciding.contains(&&file.room)) {
            let (path, room) = (&file.path, &file.room);
            let mut tell = |line: usize, sign: &str, does: &str| {
                found.push(format!(
                    "{path}:{line}: `{sign}` {does}, and `{room}` promises not to; let the caller do it and hand the \
                     result in"
                ));
            };
            for name in file.code.named_under("std") {
                if OUTSIDE.contains(&name.text.as_str()) {
                    tell(name.line, &format!("std::{}", name.text), "reaches outside");
                }
            }
            for (sign, does) in SIDE_EFFECTS {
                file.code.lines_with(sign).for_each(|line| tell(line, &sign.concat(), does));
            }
        }
        found
    }

    fn long_files(&self) -> Vec<String> {
        let long = self.files.iter().filter(|file| file.lines > MAX_LINES);
        long.map(|file| {
            format!(
                "{}:{MAX_LINES}: {} lines, more than {MAX_LINES}; give one of its subjects a file of its own",
                file.path, file.lines
            )
        })
        .collect()
    }

    /// Files and modules whose name says nothing.
    fn empty_names(&self) -> Vec<String> {
        let mut found = Vec::new();
        for file in &self.files {
            let own = file
                .path
                .split('/')
                .skip(1)
                .map(|part| (1, part.trim_end_matches(".rs").to_owned()));
            let modules = file.code.modules().map(|name| (name.line, name.text.clone()));
            for (line, name) in own.chain(modules) {
                if let Some(word) = name.split('_').find(|word| EMPTY_WORDS.contains(word)) {
                    found.push(format!(
                        "{}:{line}: `{name}` is named `{word}`, which says nothing; name it after what it knows, or \
                         move its parts where they are used",
                        file.path
                    ));
                }
            }
        }
        found
    }
}

impl File {
    fn read(path: String, text: &str) -> Self {
        let module =
            path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        let room = module.split('/').next().unwrap_or(module).to_owned();
        let depth = module.split('/').count();
        // A `tests.rs` is declared under `#[cfg(test)]` in the file above it.
        let code = if module.ends_with("/tests") { Code::read("") } else { Code::read(text) };
        Self { room, depth, lines: text.lines().count(), code, path }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn tell(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_file_belongs_to_a_room_of_the_map() {
    tell(&House::open().strays());
}

#[test]
fn the_map_is_only_a_map() {
    let code = Code::read(&text("src/lib.rs"));
    let found: Vec<_> = code
        .lines_with(&["use"])
        .map(|line| format!("src/lib.rs:{line}: the map lists rooms and re-exports nothing; name the room where it is used"))
        .collect();
    tell(&found);
}

#[test]
fn a_room_uses_only_rooms_above_it() {
    tell(&House::open().climbs());
}

#[test]
fn the_hot_path_knows_no_pages_files_or_commands() {
    let house = House::open();
    for other in ["dashboard", "config", "demo", "cli"] {
        tell(&house.uses("proxy", other));
    }
}

#[test]
fn what_decides_does_no_io_and_reads_no_clock() {
    tell(&House::open().side_effects());
}

#[test]
fn no_file_outgrows_its_reader() {
    tell(&House::open().long_files());
}

#[test]
fn every_name_says_something() {
    tell(&House::open().empty_names());
}

#[test]
fn the_readme_starts_with_a_command_that_shows_the_result() {
    let readme = text("README.md");
    for command in ["cargo run --release -- demo", "cargo test"] {
        assert!(
            readme.lines().any(|line| line.strip_prefix("    ") == Some(command)),
            "README.md: `{command}` is gone; a newcomer needs it on a line of its own, indented by four spaces"
        );
    }
}

#[test]
fn every_room_is_found_in_contributing() {
    let page = text("CONTRIBUTING.md");
    let rooms = House::open().rooms;
    let missing = rooms.iter().filter(|room| {
        !page.contains(&format!("`src/{room}/`")) && !page.contains(&format!("`src/{room}.rs`"))
    });
    let found: Vec<_> = missing
        .map(|room| format!("CONTRIBUTING.md: `src/{room}` is missing from \"Where is ...?\"; say what is found there"))
        .collect();
    tell(&found);
}

/// A made-up house that breaks every law once.
fn broken_house() -> House {
    let map = "/// Decides.\npub mod policy;\n/// Carries.\npub mod proxy;\n/// Reads.\npub mod config;\npub mod attic;";
    let long = "\n".repeat(MAX_LINES + 1);
    let files = [
        ("src/lib.rs", map),
        ("src/main.rs", "fn main() { consentry::config::main() }"),
        (
            "src/policy/mod.rs",
            "use std::{fmt, fs};\nuse crate::proxy::Proxy;\nfn now() { std::time::Instant::now(); }",
        ),
        (
            "src/policy/deep.rs",
            "fn climb() { super::super::config::read() }\n#[cfg(test)]\nmod tests { use crate::config; }",
        ),
        (
            "src/proxy/mod.rs",
            "use crate::config::File;\nuse crate::policy::Policy;\nmod url_helpers;",
        ),
        ("src/config.rs", "use crate::proxy::Settings;\nuse std::fs;"),
        ("src/cellar.rs", long.as_str()),
    ];
    House::build(map, files.map(|(path, text)| (path.to_owned(), text.to_owned())))
}

fn check(found: &[String], expected: &[&str]) {
    let starts: Vec<_> = found.iter().map(|line| line.split(';').next().unwrap_or(line)).collect();
    assert_eq!(starts, expected);
}

#[test]
fn a_broken_law_is_noticed() {
    let house = broken_house();
    check(
        &house.strays(),
        &["src/cellar.rs:1: belongs to no room", "src/lib.rs: the room `attic` has no file"],
    );
    check(
        &house.climbs(),
        &[
            "src/policy/mod.rs:2: `policy` uses `proxy`, which stands below it in src/lib.rs",
            "src/policy/deep.rs:1: `policy` uses `config`, which stands below it in src/lib.rs",
            "src/proxy/mod.rs:1: `proxy` uses `config`, which stands below it in src/lib.rs",
        ],
    );
    check(&house.uses("proxy", "config"), &["src/proxy/mod.rs:1: `proxy` names `config`"]);
    check(
        &house.side_effects(),
        &[
            "src/policy/mod.rs:1: `std::fs` reaches outside, and `policy` promises not to",
            "src/policy/mod.rs:3: `Instant::now` reads the clock, and `policy` promises not to",
        ],
    );
    check(&house.long_files(), &["src/cellar.rs:600: 601 lines, more than 600"]);
    check(
        &house.empty_names(),
        &["src/proxy/mod.rs:3: `url_helpers` is named `helpers`, which says nothing"],
    );
}
