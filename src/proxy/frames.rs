//! Counts the HTTP/2 frames of a visitor that make work and bring nothing.
//!
//! Streams opened and reset, pings, settings, priorities, empty data: each is
//! allowed, costs its sender next to nothing, and has brought servers down
//! (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671).
//! Browsers send few of them; beyond a budget that refills the connection ends.

use std::time::Instant;

/// How many such frames may come at once.
const BUDGET: u32 = 1000;
/// How many more may come each second.
const REFILL: u32 = 100;
/// The preface that begins a connection (RFC 9113, 3.4).
const PREFACE: usize = 24;
/// A frame's head (RFC 9113, 4.1).
const HEAD: usize = 9;
/// The most that a frame holds unless we say otherwise (RFC 9113, 6.5.2).
const FRAME: usize = 16_384;
/// The rest of a head that is larger than a frame (RFC 9113, 6.10).
const CONTINUATION: u8 = 0x9;

/// Follows one connection's frames.
pub(super) struct Frames {
    head: [u8; HEAD],
    known: usize,
    /// Bytes that are no head: the preface's, or a payload's.
    skip: usize,
    /// How many CONTINUATION frames a head needs that is as large as it may be,
    /// and how many this one has had.
    needed: u32,
    continued: u32,
    budget: u32,
    refilled: Instant,
}

impl Frames {
    /// Follows a connection on which a head may have so many bytes.
    pub(super) fn new(head_bytes: usize) -> Self {
        Self {
            head: [0; HEAD],
            known: 0,
            skip: PREFACE,
            needed: u32::try_from(head_bytes / FRAME).unwrap_or(u32::MAX),
            continued: 0,
            budget: BUDGET,
            refilled: Instant::now(),
        }
    }

    /// Whether the next bytes may pass.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.skip > 0 {
                break;
            }
            let missing = self.head.get_mut(self.known..).unwrap_or_default();
            let count = missing.len().min(bytes.len());
            for (into, byte) in missing.iter_mut().zip(bytes) {
                *into = *byte;
            }
            self.known += count;
            bytes = bytes.get(count..).unwrap_or_default();
            if self.known < HEAD {
                break;
            }
            self.known = 0;
            let [high, middle, low, kind, flags, ..] = self.head;
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.skip = length;
            self.continued =
                if kind == CONTINUATION { self.continued.saturating_add(1) } else { 0 };
            let is_needed = kind == CONTINUATION && self.continued <= self.needed;
            if !is_needed && !self.spend(price(kind, flags, length)) {
                return false;
            }
        }
        true
    }

    fn spend(&mut self, price: u32) -> bool {
        if price == 0 {
            return true;
        }
        if self.budget < price {
            let now = Instant::now();
            let seconds = now.duration_since(self.refilled).as_secs_f32();
            // The product is far below what fits, and what is not is capped.
            let refill = (seconds * REFILL as f32).min(BUDGET as f32) as u32;
            if refill > 0 {
                self.budget = self.budget.saturating_add(refill).min(BUDGET);
                self.refilled = now;
            }
        }
        match self.budget.checked_sub(price) {
            Some(left) => self.budget = left,
            None => return false,
        }
        true
    }
}

/// What a frame costs; the kinds are those of RFC 9113, 6.
fn price(kind: u8, flags: u8, length: usize) -> u32 {
    const END_STREAM: u8 = 0x1;
    match kind {
        // DATA that holds nothing and ends nothing.
        0x0 if length == 0 && flags & END_STREAM == 0 => 1,
        // DATA, HEADERS: what a connection is for. WINDOW_UPDATE: there is one
        // for every few bytes that are taken.
        0x0 | 0x1 | 0x8 => 0,
        // RST_STREAM: what was begun for it was in vain.
        0x3 => 2,
        // SETTINGS ask for an answer and may resize every stream.
        0x4 => 10,
        // Heads that do not end.
        CONTINUATION => 10,
        // PRIORITY, PING, GOAWAY, and what nobody knows.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = vec![size[1], size[2], size[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + length, b'x');
        frame
    }

    fn passed(sent: &[u8], piece: usize) -> bool {
        let mut frames = Frames::new(65_536);
        frames.pass(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            && sent.chunks(piece).all(|bytes| frames.pass(bytes))
    }

    #[test]
    fn what_a_connection_is_for_costs_nothing() {
        let sent = [
            frame(0x1, 0x4, 40),
            frame(0x0, 0, 1000),
            frame(0x8, 0, 4),
            // A head of 60 KB.
            frame(0x1, 0, 16_384),
            frame(0x9, 0, 16_384),
            frame(0x9, 0, 16_384),
            frame(0x9, 0x4, 12_000),
        ]
        .concat();
        for piece in [1, 7, 9, 4096] {
            assert!(passed(&sent.repeat(150), piece), "{piece}");
        }
    }

    #[test]
    fn what_brings_nothing_ends_the_connection_however_it_is_cut() {
        for (kind, flags, length, most) in [
            (0x0, 0, 0, 1100),
            (0x2, 0, 5, 1100),
            (0x3, 0, 4, 550),
            (0x4, 0, 6, 110),
            (0x6, 0, 8, 1100),
            (0x9, 0, 0, 130),
            (0xbe, 0, 3, 1100),
        ] {
            let flood = frame(kind, flags, length).repeat(most);
            for piece in [1, 10, 4096] {
                assert!(!passed(&flood, piece), "{kind} in pieces of {piece}");
            }
            assert!(passed(&frame(kind, flags, length).repeat(most / 3), 4096), "{kind}");
        }
    }

    #[test]
    fn a_budget_refills() {
        let mut frames = Frames::new(65_536);
        frames.skip = 0;
        assert!(frames.pass(&frame(0x6, 0, 8).repeat(1000)));
        assert!(!frames.pass(&frame(0x6, 0, 8).repeat(50)));
        frames.refilled -= std::time::Duration::from_secs(5);
        frames.known = 0;
        frames.skip = 0;
        assert!(frames.pass(&frame(0x6, 0, 8).repeat(400)));
    }
}
