//! Reads filter lists.

use crate::catalogue::SourceFile;
use crate::config::file::File;
use crate::config::findings::Findings;
use crate::purpose::Purpose;

use flate2::read::MultiGzDecoder;
use std::fs;
use std::io::Read;
use toml::Spanned;

/// The largest list taken, unpacked. EasyList has 2 MB.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The texts of all lists that can be read; a list without a rule is a mistake,
/// since it would let everything pass without a word.
pub(super) fn read(file: &File, findings: &mut Findings<'_>) -> Vec<SourceFile> {
    if Purpose::from_name(file.lists.purpose.get_ref())
        .is_none_or(|purpose| purpose == Purpose::Necessary)
    {
        findings.wrong(
            &file.lists.purpose,
            "the purpose of lists is functional, analytics, personalization or marketing",
        );
    }
    file.lists.files.iter().filter_map(|path| read_one(path, findings)).collect()
}

/// The purpose of what only a list knows.
pub(super) fn purpose(file: &File) -> Purpose {
    Purpose::from_name(file.lists.purpose.get_ref()).unwrap_or(Purpose::Marketing)
}

fn read_one(path: &Spanned<String>, findings: &mut Findings<'_>) -> Option<SourceFile> {
    findings.readable(path)?;
    let text = match fs::read(path.get_ref()).and_then(unpack) {
        Ok(text) => text,
        Err(error) => {
            findings.unreadable(path, &error);
            return None;
        }
    };
    let is_rule = |line: &str| {
        let line = line.trim();
        !line.is_empty()
            && !line.starts_with(['!', '[', '#'])
            && !line.contains("##")
            && !line.contains("#@#")
    };
    if !text.lines().any(is_rule) {
        findings.wrong(path, format!("`{}` holds no rule that blocks a request", path.get_ref()));
        return None;
    }
    Some(SourceFile { name: path.get_ref().clone(), text })
}

fn unpack(bytes: Vec<u8>) -> std::io::Result<String> {
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).take(MAX_BYTES).read_to_end(&mut unpacked)?;
        unpacked
    } else {
        bytes
    };
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
}
