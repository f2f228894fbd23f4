//! What is set about the admin listener: who may enter the dashboard, and by
//! which names it is asked for.

use crate::config::file::default;
use crate::config::findings::Findings;
use crate::config::sites::read_host;
use crate::dashboard::{ApiToken, PasswordHash, Role, Settings, User};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use toml::Spanned;

/// Where the operator and the privacy officer connect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a section, written `[admin]`")]
pub struct Admin {
    /// Address and port.
    pub address: Spanned<String>,
    /// More names that the dashboard is asked for by.
    pub hosts: Vec<Spanned<String>>,
    /// Who signs in with a password.
    #[serde(skip_serializing)]
    pub user: Vec<Spanned<AdminUser>>,
    /// Programs that ask.
    #[serde(skip_serializing)]
    pub token: Vec<Spanned<AdminToken>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: default("127.0.0.1:9180".into()),
            hosts: Vec::new(),
            user: Vec::new(),
            token: Vec::new(),
        }
    }
}

/// Somebody who signs in with a password.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a user, written `[[admin.user]]`")]
pub struct AdminUser {
    /// What they sign in with.
    pub name: Spanned<String>,
    /// What `consentry hash-password` printed.
    pub password_hash: Spanned<String>,
    /// `officer` or `operator`.
    pub role: Spanned<String>,
}

impl Default for AdminUser {
    fn default() -> Self {
        let empty = || default(String::new());
        Self { name: empty(), password_hash: empty(), role: default("officer".into()) }
    }
}

/// A program that asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a token, written `[[admin.token]]`")]
pub struct AdminToken {
    /// What it is called on record.
    pub name: Spanned<String>,
    /// The SHA-256 of the token.
    pub sha256: Spanned<String>,
    /// `officer` or `operator`.
    pub role: Spanned<String>,
}

impl Default for AdminToken {
    fn default() -> Self {
        let empty = || default(String::new());
        Self { name: empty(), sha256: empty(), role: default("officer".into()) }
    }
}

/// Who may enter.
pub(super) fn settings(
    admin: &Admin,
    trusted_proxies: &[IpNet],
    findings: &mut Findings<'_>,
) -> Settings {
    let mut hosts = Vec::new();
    for host in &admin.hosts {
        match read_host(host.get_ref()) {
            Ok(host) => hosts.push(host.trim_matches(['[', ']']).to_owned()),
            Err((message, advice)) => findings.wrong_with_advice(host, message, advice),
        }
    }
    let mut names = HashSet::new();
    let users = admin.user.iter().filter_map(|entry| user(entry, &mut names, findings)).collect();
    let tokens =
        admin.token.iter().filter_map(|entry| token(entry, &mut names, findings)).collect();
    Settings { hosts, users, tokens, trusted_proxies: trusted_proxies.to_vec() }
}

fn user(
    entry: &Spanned<AdminUser>,
    names: &mut HashSet<String>,
    findings: &mut Findings<'_>,
) -> Option<User> {
    let written = entry.get_ref();
    let name = name(entry, &written.name, names, findings);
    let role = role(&written.role, findings);
    let hash = &written.password_hash;
    let advice = "run `consentry hash-password`, and put what it prints here";
    if hash.get_ref().is_empty() {
        findings.wrong_with_advice(entry, "a user without `password_hash`", advice);
        return None;
    }
    match PasswordHash::read(hash.get_ref()) {
        Ok(password) => Some(User { name: name?, password, role: role? }),
        Err(why) => {
            // The line itself is not shown: somebody may have put a password there.
            let message = format!("the `password_hash` of `{}`: {why}", written.name.get_ref());
            findings.wrong_with_advice(entry, message, advice);
            None
        }
    }
}

fn token(
    entry: &Spanned<AdminToken>,
    names: &mut HashSet<String>,
    findings: &mut Findings<'_>,
) -> Option<ApiToken> {
    let written = entry.get_ref();
    let name = name(entry, &written.name, names, findings);
    let role = role(&written.role, findings);
    let Some(sha256) = read_sha256(written.sha256.get_ref()) else {
        findings.wrong_with_advice(
            entry,
            format!("the token `{}` has no SHA-256 in 64 hexadecimal digits", written.name.get_ref()),
            "make a token with `openssl rand -hex 32`, give it to the program, and put here what `printf %s TOKEN | sha256sum` prints",
        );
        return None;
    };
    Some(ApiToken { name: name?, sha256, role: role? })
}

/// A name that nobody else has: the audit trail tells people apart by it.
fn name<T>(
    entry: &Spanned<T>,
    written: &Spanned<String>,
    names: &mut HashSet<String>,
    findings: &mut Findings<'_>,
) -> Option<String> {
    let name = written.get_ref();
    if name.is_empty() {
        findings.wrong_with_advice(entry, "nobody has an empty name", "add a `name`");
        return None;
    }
    let is_visible = !name.chars().any(char::is_control) && name.trim() == name;
    if name.chars().count() > 100 || !is_visible {
        findings.wrong(written, "a name has up to 100 characters, all of them visible");
        return None;
    }
    if !names.insert(name.clone()) {
        findings.wrong(written, format!("a second one is called `{name}`"));
        return None;
    }
    Some(name.clone())
}

fn role(written: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Role> {
    let role = Role::from_name(written.get_ref());
    if role.is_none() {
        let message = format!("`{}`: a role is `officer` or `operator`", written.get_ref());
        findings.wrong(written, message);
    }
    role
}

fn read_sha256(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        // A sign would be read as part of a number.
        let digits = std::str::from_utf8(pair).ok().filter(|digits| !digits.starts_with('+'))?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_read_whole_or_not_at_all() {
        let text = "00ff".repeat(16);
        assert_eq!(read_sha256(&text).unwrap()[..4], [0, 255, 0, 255]);
        for text in ["", "00", &"+1".repeat(32), &"g0".repeat(32), &"0".repeat(63), &"é".repeat(32)]
        {
            assert_eq!(read_sha256(text), None, "{text}");
        }
    }
}
