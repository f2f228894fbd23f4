//! Certificates that an authority makes, against one that checks the account, the
//! answer over plain http and the request; signatures and nonces it takes as they are.

use crate::harness::{Origin, Seen, consentry, origin};
use crate::tls::Authority;
use crate::wire::Wire;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use http_body_util::Full;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const HOST: &str = "shop.example";
const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

/// What the authority remembers.
#[derive(Default)]
struct State {
    /// The account's key's hash (RFC 7638).
    thumbprint: String,
    /// Whether the challenge was met.
    proven: bool,
    /// What is asked for, one word each.
    asked: Vec<&'static str>,
    certificate: Option<String>,
}

type Shared = Arc<Mutex<State>>;

/// A public key off a request for a certificate.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn decoded(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap_or_default()).unwrap()
}

/// What a signed request holds: its head and what is said.
fn opened(seen: &Seen) -> (Value, Value) {
    let jws: Value = serde_json::from_slice(&seen.body).unwrap();
    let head = serde_json::from_slice(&decoded(&jws["protected"])).unwrap();
    assert!(!decoded(&jws["signature"]).is_empty());
    (head, serde_json::from_slice(&decoded(&jws["payload"])).unwrap_or_default())
}

fn says(status: u16, location: Option<String>, body: &Value) -> Response<Full<bytes::Bytes>> {
    let mut response = Response::builder()
        .status(status)
        .header("replay-nonce", "bm9uY2U")
        .header("content-type", "application/json");
    if let Some(location) = location {
        response = response.header("location", location);
    }
    response.body(Full::from(body.to_string())).unwrap()
}

/// Asks as RFC 8555 (8.3) says, over plain http and for the host's name.
fn found_at(plain: SocketAddr) -> String {
    let mut socket = StdStream::connect(plain).unwrap();
    let request =
        format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

async fn authority(tls: &Authority, state: &Shared, plain: &Arc<OnceLock<SocketAddr>>) -> Origin {
    let base: Arc<OnceLock<String>> = Arc::default();
    let at = {
        let base = Arc::clone(&base);
        move |path: &str| format!("{}{path}", base.get().unwrap())
    };
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap().pem();
    let issuer = Arc::new(Issuer::new(params, key));
    let order = {
        let (at, state) = (at.clone(), Arc::clone(state));
        move || {
            let state = state.lock().unwrap();
            let status = match (state.proven, &state.certificate) {
                (false, _) => "pending",
                (true, None) => "ready",
                (true, Some(_)) => "valid",
            };
            json!({
                "status": status,
                "identifiers": [{"type": "dns", "value": HOST}],
                "authorizations": [at("/authorization")],
                "finalize": at("/finalize"),
                "certificate": at("/certificate"),
            })
        }
    };
    let directory = at.clone();
    let account = (at.clone(), Arc::clone(state));
    let new_order = (at.clone(), order.clone(), Arc::clone(state));
    let seen_order = order.clone();
    let authorization = (at.clone(), Arc::clone(state));
    let challenge = (at.clone(), Arc::clone(state), Arc::clone(plain));
    let finalize = (order, Arc::clone(state), Arc::clone(&issuer));
    let certificate = Arc::clone(state);
    let origin = origin()
        .answer("/directory", move |_| {
            let body = json!({
                "newNonce": directory("/nonce"),
                "newAccount": directory("/account"),
                "newOrder": directory("/order"),
                "revokeCert": directory("/revoke"),
                "keyChange": directory("/key"),
            });
            says(200, None, &body)
        })
        .answer("/nonce", |_| says(200, None, &Value::Null))
        .answer("/account", move |seen| {
            let (head, payload) = opened(&seen);
            let jwk = &head["jwk"];
            let canonical = json!({
                "crv": jwk["crv"], "kty": jwk["kty"], "x": jwk["x"], "y": jwk["y"]
            });
            let mut state = account.1.lock().unwrap();
            state.thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.to_string()));
            state.asked.push("account");
            assert_eq!(payload["termsOfServiceAgreed"], true);
            assert_eq!(payload["contact"], json!(["mailto:ops@shop.example"]));
            says(201, Some(account.0("/account/1")), &json!({"status": "valid"}))
        })
        .answer("/order", move |seen| {
            let (head, payload) = opened(&seen);
            assert_eq!(head["kid"], new_order.0("/account/1"));
            assert_eq!(payload["identifiers"], json!([{"type": "dns", "value": HOST}]));
            let mut state = new_order.2.lock().unwrap();
            state.asked.push("order");
            (state.proven, state.certificate) = (false, None);
            drop(state);
            says(201, Some(new_order.0("/order/1")), &new_order.1())
        })
        .answer("/order/1", move |_| says(200, None, &seen_order()))
        .answer("/authorization", move |_| {
            let status = if authorization.1.lock().unwrap().proven { "valid" } else { "pending" };
            let body = json!({
                "identifier": {"type": "dns", "value": HOST},
                "status": status,
                "challenges": [
                    {"type": "dns-01", "url": authorization.0("/dns"), "status": status, "token": "x"},
                    {"type": "http-01", "url": authorization.0("/challenge"), "status": status, "token": TOKEN},
                ],
            });
            says(200, None, &body)
        })
        .answer("/challenge", move |_| {
            let (at, state, plain) = &challenge;
            let found = found_at(*plain.get().unwrap());
            let mut state = state.lock().unwrap();
            assert_eq!(found, format!("{TOKEN}.{}", state.thumbprint));
            state.proven = true;
            let body = json!({
                "type": "http-01", "url": at("/challenge"), "status": "valid", "token": TOKEN
            });
            says(200, None, &body)
        })
        .answer("/finalize", move |seen| {
            // How a key on P-256 begins (RFC 5480, 2): the point itself follows.
            const BEGINS: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
            let (_, payload) = opened(&seen);
            let request = decoded(&payload["csr"]);
            let place = request.windows(BEGINS.len()).position(|part| part == BEGINS).unwrap();
            let point = request[place + BEGINS.len()..][..65].to_vec();
            assert!(request.windows(HOST.len()).any(|part| part == HOST.as_bytes()));
            let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
            let made = params.signed_by(&Point(point), &finalize.2).unwrap();
            let mut state = finalize.1.lock().unwrap();
            state.certificate = Some(format!("{}{root}", made.pem()));
            state.asked.push("certificate");
            drop(state);
            says(200, None, &finalize.0())
        })
        .answer("/certificate", move |_| {
            let chain = certificate.lock().unwrap().certificate.clone().unwrap();
            Response::builder().header("replay-nonce", "bm9uY2U").body(Full::from(chain)).unwrap()
        })
        .start_tls(tls.acceptor())
        .await;
    base.set(format!("https://{}", origin.address)).unwrap();
    origin
}

/// The certificate that visitors are shown, whoever made it.
async fn shown(at: SocketAddr, tls: &Authority) -> Option<Vec<u8>> {
    let socket = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let connector = tls.connector_that_believes_all();
    let stream = connector.connect(name, socket).await.ok()?;
    let certificate = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
    let mut wire = Wire::over(stream);
    assert_eq!(wire.asks("GET", "/", "").await.status, 200);
    Some(certificate)
}

async fn once(wanted: impl Fn() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(60) {
        if wanted() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_made_shown_kept_and_not_made_twice() {
    let tls = Authority::signing("127.0.0.1");
    let (state, plain) = (Shared::default(), Arc::default());
    let authority = authority(&tls, &state, &plain).await;
    let shop = origin().page("/", "<p>Hello</p>").start().await;
    let config = format!(
        "[listener]\nredirect_address = '127.0.0.1:0'\n[acme]\nhosts = [{HOST:?}]\nterms_agreed = true\n\
         contact = 'ops@shop.example'\ndirectory_url = 'https://{}/directory'\nca_file = {:?}",
        authority.address,
        tls.file("ca.pem")
    );
    let proxy = consentry(&shop).config(&config).start().await;
    plain.set(proxy.running().server.redirect_address().unwrap()).unwrap();
    let stand_in = shown(proxy.address, &tls).await.expect("the site is up before that");
    assert!(once(|| state.lock().unwrap().certificate.is_some()).await);
    let since = Instant::now();
    let mut made = shown(proxy.address, &tls).await;
    while made.as_ref() == Some(&stand_in) && since.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        made = shown(proxy.address, &tls).await;
    }
    assert_ne!(made.as_ref(), Some(&stand_in), "the new one is shown without a restart");
    let mut wire = Wire::to(*plain.get().unwrap()).await;
    let path = format!("/.well-known/acme-challenge/{TOKEN}");
    assert_eq!(
        wire.asks("GET", &path, "").await.status,
        301,
        "nothing is said for longer than needed"
    );
    let directory = proxy.directory().join("ledger.db.acme/127.0.0.1");
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("shop.example.pem"), mode("account.json")), (0o600, 0o600));

    // The next start has it, and the account, too.
    let kept = proxy.stop().await;
    let proxy = consentry(&shop).in_directory(kept).config(&config).start().await;
    assert_eq!(shown(proxy.address, &tls).await, made);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(state.lock().unwrap().asked, ["account", "order", "certificate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_at_the_start() {
    let shop = origin().start().await;
    for (config, said) in [
        ("[acme]\nhosts = ['shop.example']\nterms_agreed = true", "set `redirect_address`"),
        (
            "[listener]\nredirect_address = '127.0.0.1:0'\n[acme]\nhosts = ['shop.example']",
            "set `terms_agreed = true`",
        ),
        (
            "[listener]\nredirect_address = '127.0.0.1:0'\n[acme]\nhosts = ['10.0.0.1']\nterms_agreed = true",
            "no certificate can be made for `10.0.0.1`",
        ),
        (
            "[listener]\nredirect_address = '127.0.0.1:0'\n[acme]\nhosts = ['a.example']\nterms_agreed = true\ndirectory_url = 'http://a'",
            "does not begin with `https://`",
        ),
    ] {
        let failed = consentry(&shop).config(config).try_start().await.err().unwrap();
        assert!(failed.contains(said), "{failed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_authority_the_site_is_up_all_the_same() {
    let tls = Authority::signing("127.0.0.1");
    let shop = origin().page("/", "<p>Hello</p>").start().await;
    let config = "[listener]\nredirect_address = '127.0.0.1:0'\n[acme]\nhosts = ['shop.example']\n\
        terms_agreed = true\ndirectory_url = 'https://127.0.0.1:9/directory'";
    let proxy = consentry(&shop).config(config).start().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(shown(proxy.address, &tls).await.is_some());
}
