# `make check` is all of CI: green here is green there.

.PHONY: check fmt clippy test doc build demo bench-peers

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

# What consentry costs beside nginx; needs nginx, wrk and python3.
bench-peers: build
	benches/peers.py
