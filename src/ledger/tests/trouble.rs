//! Whatever goes wrong, nothing is lost, or it is on record.

use super::*;
use crate::ledger::spool::Sink;

#[test]
fn a_killed_process_loses_nothing_and_nothing_is_there_twice() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    for n in 0..50 {
        spool.append(&entry(n, "/", [block("a")]));
    }
    ledger.flush().unwrap();
    for n in 50..100 {
        spool.append(&entry(n, "/", [block("a")]));
    }
    // The spool is never closed, and the ledger stores nothing any more.
    let file = spool_files(&dir).remove(0);
    std::mem::forget(spool);
    drop(ledger);
    assert!(file.exists());
    for _ in 0..2 {
        let ledger = open(&dir);
        ledger.flush().unwrap();
        assert_eq!(times(&dir), (0..100).collect::<Vec<_>>());
        ledger.close().unwrap();
    }
    // In this test the owner still lives; once it is gone, the file goes, too.
    fs::copy(&file, file.with_extension("copy")).unwrap();
    fs::remove_file(&file).unwrap();
    fs::rename(file.with_extension("copy"), &file).unwrap();
    open(&dir).close().unwrap();
    assert_eq!(spool_files(&dir), [] as [PathBuf; 0]);
    assert_eq!(times(&dir), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_transaction_that_was_never_committed_is_stored_again() {
    let dir = TempDir::new().unwrap();
    let path = settings(&dir).path;
    drop(open(&dir));
    let name = "1-1-0-0.jsonl";
    let spool_dir = dir.path().join("ledger.db.spool");
    let page = entry(7, "/", [block("a")]);
    let set = line::SetText::of(&page.decisions).unwrap();
    let hash = set.hash_text();
    let mut text = Vec::new();
    set.push_line(&hash, &mut text);
    line::push_line(&line::SpoolLine::Entry(line::EntryLine::of(&page, &hash)), &mut text).unwrap();
    fs::write(spool_dir.join(name), &text).unwrap();
    let mut store = Store::open(&path, 0).unwrap();
    let piece = intake::Piece::read(&spool_dir, name, 0, intake::BATCH_BYTES).unwrap();
    // Killed in between, and tried again by the same thread.
    let mut batch = store.begin().unwrap();
    piece.store(&mut batch).unwrap();
    drop(batch);
    assert_eq!(times(&dir), [] as [u64; 0]);
    let mut batch = store.begin().unwrap();
    piece.store(&mut batch).unwrap();
    batch.commit().unwrap();
    drop(store);
    open(&dir).close().unwrap();
    assert_eq!(times(&dir), [7]);
}

#[test]
fn a_torn_last_line_of_a_dead_process_is_one_entry_missing() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(1, "/", [block("a")]));
    spool.append(&entry(2, "/", [block("a")]));
    let file = spool_files(&dir).remove(0);
    let text = fs::read(&file).unwrap();
    drop(spool);
    ledger.close().unwrap();
    let torn = dir.path().join("ledger.db.spool/1-2-3-4.jsonl");
    fs::write(&torn, &text[..text.len() - 9]).unwrap();
    fs::write(torn.with_extension("new"), "").unwrap();
    let ledger = open(&dir);
    ledger.flush().unwrap();
    assert_eq!(ledger.status().lost_entries, 1);
    ledger.close().unwrap();
    assert_eq!(times(&dir), [1, 1, 2]);
    let gaps = Reader::open(settings(&dir).path).unwrap().gaps(&Filter::default()).unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.lost).collect::<Vec<_>>(), [1]);
    assert_eq!(spool_files(&dir), [] as [PathBuf; 0]);
}

#[test]
fn lines_that_cannot_be_read_keep_nothing_back() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    let spool_dir = dir.path().join("ledger.db.spool");
    let hash = "0".repeat(32);
    let orphan = format!(
        r#"{{"e":{{"t":1,"s":"s","p":"/","c":1,"u":0,"g":"gpc","r":"r","m":"enforce","d":"{hash}"}}}}"#
    );
    let nonsense =
        format!("rubbish\n\u{0}\n{{\"set\":{{\"h\":\"xyz\",\"x\":0,\"d\":[]}}}}\n{orphan}\n");
    fs::write(spool_dir.join("1-1-1-1.jsonl"), nonsense).unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(2, "/", [block("a")]));
    ledger.flush().unwrap();
    assert_eq!(times(&dir), [2]);
    assert_eq!(ledger.status().lost_entries, 4);
    assert_eq!(ledger.status().written_entries, 1);
}

#[test]
fn a_second_ledger_spools_and_takes_over_when_the_first_is_closed() {
    let dir = TempDir::new().unwrap();
    let first = open(&dir);
    let second = open(&dir);
    let mut a = first.spool(0).unwrap();
    let mut b = second.spool(0).unwrap();
    a.append(&entry(1, "/", [block("a")]));
    second.flush().unwrap();
    b.append(&entry(2, "/", [block("a")]));
    second.flush().unwrap();
    assert!(first.status().writer && !second.status().writer);
    assert_eq!(times(&dir), [1, 2]);
    drop(a);
    first.close().unwrap();
    b.append(&entry(3, "/", [block("a")]));
    second.flush().unwrap();
    assert!(second.status().writer);
    assert_eq!(second.status().written_entries, 1);
    drop(b);
    second.close().unwrap();
    assert_eq!(times(&dir), [1, 2, 3]);
    assert_eq!(spool_files(&dir), [] as [PathBuf; 0]);
}

#[test]
fn a_locked_database_delays_nobody_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    let other = Connection::open(settings(&dir).path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = std::time::Instant::now();
    for n in 0..100 {
        spool.append(&entry(n, "/", [block("a")]));
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    std::thread::sleep(Duration::from_secs(1));
    let status = ledger.status();
    assert!(status.queued_bytes > 0 && status.last_error.is_some(), "{status:?}");
    other.execute_batch("ROLLBACK").unwrap();
    ledger.flush().unwrap();
    assert_eq!(times(&dir).len(), 100);
    let status = ledger.status();
    assert_eq!((status.lost_entries, status.written_entries, status.queued_bytes), (0, 100, 0));
    drop(spool);
    ledger.close().unwrap();
}

#[test]
fn a_sum_that_fails_keeps_no_spool_back() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let other = Connection::open(settings(&dir).path).unwrap();
    other.execute_batch("DROP TABLE hourly").unwrap();
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(1, "/", [block("a")]));
    drop(spool);
    let begun = std::time::Instant::now();
    while !spool_files(&dir).is_empty() || ledger.status().last_error.is_none() {
        assert!(begun.elapsed().as_secs() < 20, "{:?}", ledger.status());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(times(&dir), [1]);
}

#[test]
fn letting_go_of_a_ledger_that_was_replaced_leaves_the_log_of_the_next_one() {
    let dir = TempDir::new().unwrap();
    let path = settings(&dir).path;
    let log = dir.path().join("ledger.db-wal");
    let old = Store::open(&path, 0).unwrap();
    fs::rename(&path, dir.path().join("aside.db")).unwrap();
    assert!(!old.is_in_place(&path));
    // Another process was faster, and has begun the next one.
    fs::remove_file(&log).unwrap();
    fs::remove_file(dir.path().join("ledger.db-shm")).unwrap();
    let next = Store::open(&path, 0).unwrap();
    old.leave();
    assert!(next.is_in_place(&path) && log.exists());
    // Its own log goes.
    fs::rename(&path, dir.path().join("aside.db")).unwrap();
    next.leave();
    assert!(!log.exists());
}

#[test]
fn a_ledger_that_is_begun_anew_stores_nothing_a_second_time() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(1, "/", [block("a")]));
    ledger.flush().unwrap();
    fs::rename(settings(&dir).path, dir.path().join("aside.db")).unwrap();
    spool.append(&entry(2, "/", [block("a")]));
    ledger.flush().unwrap();
    assert_eq!(times(&dir), [2]);
    assert_eq!(ledger.status().lost_entries, 0);
}

#[test]
fn a_full_disk_leaves_a_gap_that_says_how_many_and_since_when() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    spool.append(&entry(1, "/", [block("a")]));
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    spool.replace_sink(Some(Box::new(full)));
    for n in 2..5 {
        spool.append(&entry(n, "/", [block("a")]));
    }
    assert_eq!(ledger.status().lost_entries, 3);
    spool.replace_sink(None);
    spool.append(&entry(5, "/", [block("a")]));
    drop(spool);
    ledger.close().unwrap();
    assert_eq!(times(&dir), [1, 5]);
    let gaps = Reader::open(settings(&dir).path).unwrap().gaps(&Filter::default()).unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].lost, gaps[0].since_ms, gaps[0].time_ms), (3, 2, 4));
    assert!(gaps[0].why.contains("No space left"), "{}", gaps[0].why);
}

/// A disk with so much room, on which the file can be cut or not.
struct Tight {
    file: fs::File,
    room: usize,
    cuts: bool,
}

impl Sink for Tight {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(self.room)];
        self.room -= part.len();
        Sink::write(&mut self.file, part)
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        if self.cuts { self.file.cut(size) } else { Err(io::ErrorKind::Other.into()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

#[test]
fn half_a_line_costs_itself_and_no_other() {
    for room in [0, 1, 5, 60, 300, 400, 430, 500, 700] {
        for cuts in [true, false] {
            let dir = TempDir::new().unwrap();
            let ledger = open(&dir);
            let mut spool = ledger.spool(0).unwrap();
            let path = dir.path().join("ledger.db.spool/1-1-1-1.jsonl");
            // Without an owner it would be removed.
            let unnamed = path.with_extension("unnamed");
            let file = OpenOptions::new().create(true).append(true).open(&unnamed).unwrap();
            file.try_lock().unwrap();
            fs::rename(unnamed, path).unwrap();
            spool.replace_sink(Some(Box::new(Tight { file, room, cuts })));
            for n in 1..5 {
                spool.append(&entry(n, "/", [block("a")]));
            }
            spool.replace_sink(None);
            spool.append(&entry(5, "/", [block("b")]));
            drop(spool);
            ledger.close().unwrap();
            let stored = times(&dir);
            let gaps = Reader::open(settings(&dir).path).unwrap().gaps(&Filter::default()).unwrap();
            let lost: u64 = gaps.iter().map(|gap| gap.lost).sum();
            assert_eq!(stored.len() as u64 + lost, 5, "{room} {cuts}: {stored:?} {gaps:?}");
            assert_eq!(stored.last(), Some(&5), "{room} {cuts}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_ledger_is_said_in_words() {
    let dir = TempDir::new().unwrap();
    let check = |path: &Path, expected: &str| {
        let error = Ledger::open(Settings::new(path)).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&*path.parent().unwrap().to_string_lossy()), "{error}");
    };
    check(&dir.path().join("missing/ledger.db"), "does not exist; create it");
    check(dir.path(), "is a directory");
    // Not even root may write there.
    check(Path::new("/sys/ledger.db"), "cannot use");
    let text = dir.path().join("text.db");
    fs::write(&text, "Dear diary, ".repeat(100)).unwrap();
    check(&text, "is not a consentry ledger");
    let other = dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    check(&other, "is not a consentry ledger");
    let newer = settings(&dir).path;
    open(&dir).close().unwrap();
    Connection::open(&newer).unwrap().execute_batch("UPDATE meta SET schema = 99").unwrap();
    check(&newer, "has format 99, this consentry knows formats up to 5");
    let error = Reader::open(&newer).err().unwrap().to_string();
    assert!(error.contains("has format 99"), "{error}");
    let error = Reader::open(dir.path().join("none.db")).err().unwrap().to_string();
    assert!(error.contains("there is no ledger at"), "{error}");
}

#[test]
fn a_damaged_ledger_is_noticed_at_the_start() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let mut spool = ledger.spool(0).unwrap();
    for n in 0..2000 {
        spool.append(&entry(n, "/", [block("a")]));
    }
    drop(spool);
    ledger.close().unwrap();
    let mut bytes = fs::read(settings(&dir).path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    fs::write(settings(&dir).path, bytes).unwrap();
    let error = Ledger::open(settings(&dir)).err().unwrap().to_string();
    assert!(error.contains("is damaged"), "{error}");
}

#[test]
fn many_workers_and_two_ledgers_lose_nothing() {
    let dir = TempDir::new().unwrap();
    let small = Settings { spool_bytes: 3000, flush_ms: 1, ..settings(&dir) };
    let ledgers = [Ledger::open(small.clone()).unwrap(), Ledger::open(small).unwrap()];
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let mut spool = ledgers[worker as usize % 2].spool(worker as usize).unwrap();
            scope.spawn(move || {
                for n in 0..500 {
                    let what = if n % 7 == 0 { "a" } else { "b" };
                    spool.append(&entry(worker * 500 + n, "/", [block(what)]));
                }
            });
        }
    });
    for ledger in ledgers {
        ledger.close().unwrap();
    }
    assert_eq!(times(&dir), (0..2000).collect::<Vec<_>>());
    assert_eq!(spool_files(&dir), [] as [PathBuf; 0]);
}
