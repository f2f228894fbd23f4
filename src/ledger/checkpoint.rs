//! Checkpoints: the ledger's tree as it was at a time, signed, in a text to
//! keep elsewhere. Whoever holds one can tell whether the ledger still is the
//! one it was taken of.
//!
//! The form is that of a signed note with a checkpoint in it (C2SP,
//! `signed-note` and `tlog-checkpoint`): name, size and root, further lines, an
//! empty line, and the signature.

use crate::ledger::Error;
use crate::ledger::seal::{Ends, Sort};
use crate::ledger::tree::{Hash, Tree, sha256};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The kind of signature that Ed25519 is, in a key's id (C2SP `signed-note`).
const ED25519_KIND: u8 = 1;

/// What begins the line of a signature.
const SIGNED: &str = "\u{2014} ";

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads a key as `checkpoint` shows it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        (bytes.len() == 32).then_some(Self(bytes))
    }

    /// The key as text.
    #[must_use]
    pub fn text(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// The name of the ledger that it signs.
    pub(super) fn name(&self) -> String {
        let id: String = sha256(&self.0).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("consentry-ledger-{id}")
    }

    /// Whether `signature` is one of this key over `text`.
    pub(super) fn has_signed(&self, text: &str, signature: &str) -> bool {
        STANDARD.decode(signature).is_ok_and(|signature| {
            UnparsedPublicKey::new(&ED25519, &self.0).verify(text.as_bytes(), &signature).is_ok()
        })
    }

    fn id(&self) -> Vec<u8> {
        let text = [self.name().as_bytes(), b"\n", &[ED25519_KIND], &self.0].concat();
        sha256(&text).iter().take(4).copied().collect()
    }
}

/// The secret that signs a ledger's checkpoints, and what it says of pruning.
#[derive(Clone, Debug)]
pub(super) struct Signer(Arc<Ed25519KeyPair>);

impl Signer {
    /// Reads the key in `file`, or makes one on the first start.
    ///
    /// # Errors
    /// When the file holds no key, or cannot be read or made.
    pub(super) fn open(file: &Path) -> Result<Self, Error> {
        let failed = |source| Error::NotWritable { path: file.to_owned(), source };
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_key(file).map_err(failed)?;
                // Another process may have been faster: its key counts.
                fs::read_to_string(file).map_err(failed)?
            }
            read => read.map_err(failed)?,
        };
        Self::parse(&text).ok_or_else(|| Error::NotAKey { path: file.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let seed = STANDARD.decode(text.trim()).ok()?;
        Ed25519KeyPair::from_seed_unchecked(&seed).ok().map(|pair| Self(Arc::new(pair)))
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }

    /// Signs a text that cannot be taken for a checkpoint.
    pub(super) fn sign_text(&self, text: &str) -> String {
        STANDARD.encode(self.0.sign(text.as_bytes()))
    }

    /// Signs the tree as it is at `time_ms`, with the rows that are under it.
    pub(super) fn sign(&self, tree: &Tree, ends: &Ends, time_ms: u64) -> String {
        let key = self.public();
        let peaks: Vec<String> = tree.peaks().iter().map(|peak| STANDARD.encode(peak)).collect();
        let rows: Vec<String> = Sort::ALL.iter().map(|sort| ends.of(*sort).to_string()).collect();
        let body = format!(
            "{}\n{}\n{}\ntime {time_ms}\nrows {}\npeaks {}\nkey {}\n",
            key.name(),
            tree.size(),
            STANDARD.encode(tree.root()),
            rows.join(" "),
            peaks.join(" "),
            key.text(),
        );
        let signature = self.0.sign(body.as_bytes());
        let signed = STANDARD.encode([key.id().as_slice(), signature.as_ref()].concat());
        format!("{body}\n{SIGNED}{} {signed}\n", key.name())
    }
}

/// Puts a new key into `file`, unless one is there by then. The file has its
/// name only when it is whole: half a key would stay for ever.
fn make_key(file: &Path) -> io::Result<()> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    let unnamed = file.with_extension(format!("{}.new", std::process::id()));
    fs::remove_file(&unnamed).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
    writeln!(made, "{}", STANDARD.encode(seed))?;
    made.sync_all()?;
    let named = match fs::hard_link(&unnamed, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links.
        Err(_) if !file.exists() => fs::rename(&unnamed, file),
        named => named,
    };
    fs::remove_file(&unnamed).ok();
    named
}

/// A checkpoint that was read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// When it was signed, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who signed it.
    pub key: PublicKey,
    /// The last entry that is under it.
    pub entries: i64,
    pub(super) tree: Tree,
}

impl Checkpoint {
    /// Reads a checkpoint and checks its signature.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (body, signatures) = text.split_once("\n\n").ok_or("it has no signature")?;
        let body = format!("{body}\n");
        let mut lines = body.lines();
        let torn = "it is torn, or no checkpoint of a consentry ledger";
        let name = lines.next().ok_or(torn)?;
        let size: u64 = lines.next().and_then(|line| line.parse().ok()).ok_or(torn)?;
        let root = lines.next().and_then(decoded).ok_or(torn)?;
        let mut field = |wanted: &str| {
            lines.next().and_then(|line| line.strip_prefix(wanted)?.strip_prefix(' ')).ok_or(torn)
        };
        let time_ms = field("time")?.parse().map_err(|_| torn)?;
        let rows: Vec<i64> = field("rows")?
            .split(' ')
            .map(|row| row.parse().map_err(|_| torn))
            .collect::<Result<_, _>>()?;
        let peaks = field("peaks")?.split(' ').filter(|peak| !peak.is_empty());
        let peaks: Vec<Hash> =
            peaks.map(|peak| decoded(peak).ok_or(torn)).collect::<Result<_, _>>()?;
        let key = PublicKey::parse(field("key")?).ok_or(torn)?;
        let tree = Tree::of(size, peaks).ok_or(torn)?;
        // Those of format 4 know nothing of audit entries.
        let (&[_, entries, _, _] | &[_, entries, _, _, _]) = rows.as_slice() else {
            return Err(torn);
        };
        if tree.root() != root || key.name() != name {
            return Err("it contradicts itself");
        }
        let signature = signatures
            .lines()
            .find_map(|line| line.strip_prefix(SIGNED)?.strip_prefix(name)?.strip_prefix(' '))
            .and_then(|signature| STANDARD.decode(signature).ok())
            .and_then(|signed| signed.strip_prefix(key.id().as_slice()).map(<[u8]>::to_vec))
            .ok_or("it is not signed with the key it names")?;
        UnparsedPublicKey::new(&ED25519, &key.0)
            .verify(body.as_bytes(), &signature)
            .map_err(|_| "its signature is wrong: it was changed after it was signed")?;
        Ok(Self { time_ms, key, entries, tree })
    }

    /// How many seals are under it.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }
}

fn decoded(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tree::leaf;
    use tempfile::TempDir;

    fn signed(dir: &TempDir) -> (Signer, String) {
        let signer = Signer::open(&dir.path().join("key")).unwrap();
        let mut tree = Tree::default();
        [b"a", b"b", b"c"].iter().for_each(|text| tree.push(leaf(*text)));
        let note = signer.sign(&tree, &Ends::default(), 1_790_000_000_000);
        (signer, note)
    }

    #[test]
    fn f3_a_checkpoint_comes_back_as_it_was_signed() {
        let dir = TempDir::new().unwrap();
        let (signer, note) = signed(&dir);
        let read = Checkpoint::parse(&note).unwrap();
        assert_eq!((read.size(), read.time_ms), (3, 1_790_000_000_000));
        assert_eq!(read.key, signer.public());
        // The key outlives the process, and nobody else can read it.
        let again = Signer::open(&dir.path().join("key")).unwrap();
        assert_eq!(again.public(), signer.public());
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn f3_many_who_make_the_key_at_once_have_the_same_one() {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("key");
        // Left by one that was stopped before it had given the file its name.
        fs::write(file.with_extension(format!("{}.new", std::process::id())), "").unwrap();
        let first = Signer::open(&file).unwrap().public();
        make_key(&file).unwrap();
        assert_eq!(Signer::open(&file).unwrap().public(), first, "a key is never replaced");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn f3_a_changed_checkpoint_is_not_believed() {
        let dir = TempDir::new().unwrap();
        let (_, note) = signed(&dir);
        for at in 0..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let read = Checkpoint::parse(&changed);
            // The line of the signature repeats the name; base64 has no spare bits here.
            assert!(read.is_err(), "{at}: {changed}");
        }
        assert!(Checkpoint::parse("").is_err());
        let other = signed(&TempDir::new().unwrap()).1;
        let (body, _) = note.split_once("\n\n").unwrap();
        let (_, signature) = other.split_once("\n\n").unwrap();
        assert!(Checkpoint::parse(&format!("{body}\n\n{signature}")).is_err());
    }
}
