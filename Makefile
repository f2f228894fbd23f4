# `make check` is all of CI: green here is green there.

.PHONY: check fmt clippy test doc build demo dist soak bench-peers bench-report

check: fmt clippy test doc

fmt:
	cargo fmt --check

clippy:
	cargo clippy --all-targets --locked -- -D warnings

test:
	cargo test --locked

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

build:
	cargo build --release --locked

demo:
	cargo run --release --locked -- demo

# What is given away: the program, manual pages, completions, licences, what it is made of (CycloneDX) and checksums, as
# target/dist/*.tar.gz. With `SIGN_KEY=ed25519.pem` the checksums are signed.
dist:
	cargo build --release --locked
	deploy/dist.py --binary target/release/consentry --out target/dist

# Half an hour of everything at once; `SOAK` takes more, such as SOAK="--minutes 10".
soak: build
	tests/soak/run.py $(SOAK)

# What consentry costs beside nginx; needs nginx, wrk, openssl and python3. `PEERS` takes more, such as
# PEERS="--only pass,page --rounds 1".
bench-peers: build
	benches/peers/run.py $(PEERS) --json target/peers.json

# The same, and puts it into docs/performance.md and its chart.
bench-report: bench-peers
	benches/peers/report.py target/peers.json
