//! Whole exchanges on loopback, and what holds the house together.
// So that clippy takes what tests share for test code, too.
#![cfg(test)]

mod architecture;
mod config_sample;
mod licences;
mod harness;
mod wire;
mod http;
mod streaming;
mod caching;
mod tls;
mod broken_origin;
mod broken_pages;
mod bad_input;
mod program;
mod operation;
mod operation_ledger;
mod reading;
mod journey;
mod lists;
mod exceptions;
mod routes;
mod unfilterable;
mod other_tools;
mod disguises;
mod own_scripts;
mod documents;
mod name_server;
mod consent;
mod cookies;
mod choosing;
mod explain_and_log;
mod placeholders;
mod readme;
mod demo;
mod driver;
mod browser;
mod browser_policy;
mod guard;
mod catalogue;
mod pages;
mod page_bytes;
mod page_size;
mod html_properties;
mod html_tree;
