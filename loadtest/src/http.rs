//! One HTTP/1.1 request on a connection of its own, as each viewer of a real audience makes it: name look-up, TCP, a
//! full TLS handshake (no resumption), request, response. Redirects of WHIP and WHEP (307, 308; RFC 9725 §4.5) are
//! followed.
//!
//! Left out: HTTP/2 and connection reuse, because the tester's thousand viewers would then share connections that real
//! viewers do not share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, LINK, LOCATION, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

const REDIRECTS_MAX: usize = 3;
const BODY_BYTES_MAX: usize = 1 << 20;
/// Time for one request with all its redirects. Longer: the client has failed.
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Why a request failed. The report groups failures by their text, so the text names no single client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HttpError {
    /// The name has no address.
    Name(String),
    Connect(String),
    Tls(String),
    Http(String),
    Status(u16, String),
    Redirect,
    TooLate,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "the server's name has no address: {error}"),
            Self::Connect(error) => write!(f, "cannot connect to the server: {error}"),
            Self::Tls(error) => {
                write!(f, "TLS failed: {error}")?;
                if error.contains("certificate") {
                    f.write_str(" (--insecure takes any certificate)")?;
                }
                Ok(())
            }
            Self::Http(error) => write!(f, "the server did not answer in HTTP: {error}"),
            Self::Status(status, detail) if detail.is_empty() => write!(f, "HTTP status {status}"),
            Self::Status(status, detail) => write!(f, "HTTP status {status}: {detail}"),
            Self::Redirect => write!(f, "more than {REDIRECTS_MAX} redirects, or one without a usable Location"),
            Self::TooLate => write!(f, "no answer within {} s", REQUEST_MAX.as_secs()),
        }
    }
}

/// The server's response to an offer.
#[derive(Debug)]
pub(crate) struct Created {
    /// The answer.
    pub(crate) sdp: String,
    /// The session's own address, where the server gave one.
    pub(crate) session: Option<Url>,
    /// The address at which the server's HTTP was reached.
    pub(crate) server: SocketAddr,
    /// `Link` headers: ICE servers (RFC 9725 §4.6).
    pub(crate) links: Vec<String>,
}

/// Makes requests.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(insecure: bool, token: Option<String>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let mut config = if insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        } else {
            let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), token })
    }

    /// Posts an offer. `server` is where the first connection goes.
    pub(crate) async fn post(&self, url: &Url, server: SocketAddr, offer: String) -> Result<Created, HttpError> {
        let late = |_| HttpError::TooLate;
        tokio::time::timeout(REQUEST_MAX, self.follow(url, server, offer)).await.map_err(late)?
    }

    async fn follow(&self, url: &Url, server: SocketAddr, offer: String) -> Result<Created, HttpError> {
        let (mut url, mut server) = (url.clone(), server);
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.request(Method::POST, &url, server, offer.clone()).await?;
            match answer.status {
                StatusCode::CREATED | StatusCode::OK => {
                    let session = answer.location.and_then(|location| url.join(&location).ok());
                    return Ok(Created { sdp: answer.body, session, server, links: answer.links });
                }
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    let location = answer.location.ok_or(HttpError::Redirect)?;
                    url = url.join(&location).map_err(|_| HttpError::Redirect)?;
                    server = resolve(&url).await?;
                }
                status => return Err(HttpError::Status(status.as_u16(), detail(&answer.body))),
            }
        }
        Err(HttpError::Redirect)
    }

    /// Ends a session.
    pub(crate) async fn delete(&self, session: &Url, server: SocketAddr) -> Result<(), HttpError> {
        let answer = tokio::time::timeout(REQUEST_MAX, self.request(Method::DELETE, session, server, String::new()));
        let answer = answer.await.map_err(|_| HttpError::TooLate)??;
        if answer.status.is_success() { Ok(()) } else { Err(HttpError::Status(answer.status.as_u16(), String::new())) }
    }

    async fn request(&self, method: Method, url: &Url, server: SocketAddr, body: String) -> Result<Answer, HttpError> {
        let stream = TcpStream::connect(server).await.map_err(|error| HttpError::Connect(error.to_string()))?;
        let _ = stream.set_nodelay(true);
        let request = self.build(method, url, body)?;
        if url.scheme() == "https" {
            let name = match url.host() {
                Some(Host::Domain(name)) => name.to_owned(),
                Some(Host::Ipv4(ip)) => ip.to_string(),
                Some(Host::Ipv6(ip)) => ip.to_string(),
                None => String::new(),
            };
            exchange(self.tls(&name, stream).await?, request).await
        } else {
            exchange(stream, request).await
        }
    }

    /// TLS on a connection to a server of this name, or this address.
    pub(crate) async fn tls(&self, name: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, HttpError> {
        let unusable = |_| HttpError::Tls("the address has no usable name".to_owned());
        let name = ServerName::try_from(name.to_owned()).map_err(unusable)?;
        self.tls.connect(name, stream).await.map_err(|error| HttpError::Tls(error.to_string()))
    }

    fn build(&self, method: Method, url: &Url, body: String) -> Result<Request<Full<Bytes>>, HttpError> {
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(HOST, host)
            .header(USER_AGENT, concat!("corecast-loadtest/", env!("CARGO_PKG_VERSION")))
            .header(hyper::header::CONNECTION, "close");
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/sdp").header(ACCEPT, "application/sdp");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        request.body(Full::new(Bytes::from(body))).map_err(|error| HttpError::Http(error.to_string()))
    }
}

/// The first address of a URL's host.
pub(crate) async fn resolve(url: &Url) -> Result<SocketAddr, HttpError> {
    let port = url.port_or_known_default().unwrap_or(443);
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let mut found = tokio::net::lookup_host((host, port)).await.map_err(|error| HttpError::Name(error.to_string()))?;
    found.next().ok_or_else(|| HttpError::Name("none".to_owned()))
}

struct Answer {
    status: StatusCode,
    location: Option<String>,
    links: Vec<String>,
    body: String,
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let failed = |error: hyper::Error| HttpError::Http(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let links = response.headers().get_all(LINK).iter();
        let links = links.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| HttpError::Http(error.to_string()))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { status, location, links, body })
    };
    tokio::pin!(answered);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        ended = &mut connection => match ended {
            // The server closed the connection after its response: `answered` has the whole response, or fails.
            Ok(()) => answered.await,
            Err(error) => Err(failed(error)),
        },
    }
}

/// The reason of a refusal in one line: a problem's `detail` (RFC 9457), else the body's first line.
fn detail(body: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let text = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let line = text.unwrap_or(body).lines().next().unwrap_or_default();
    line.chars().take(160).collect()
}

/// Accepts any certificate, for `--insecure`. Signatures are still checked, so that a handshake costs as much as a real
/// client's.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_reported_in_one_line() {
        assert_eq!(detail("{\"code\":\"full\",\"detail\":\"the node is full\"}"), "the node is full");
        assert_eq!(detail("<html>\nmore"), "<html>");
        assert!(
            HttpError::Tls("invalid peer certificate: UnknownIssuer".to_owned()).to_string().contains("--insecure")
        );
    }

    #[test]
    fn a_request_says_host_path_and_token() {
        let client = Client::new(true, Some("secret".to_owned())).unwrap();
        let url = Url::parse("https://[::1]:8443/whep/a?x=1").unwrap();
        let request = client.build(Method::POST, &url, "v=0".to_owned()).unwrap();
        assert_eq!(request.uri(), "/whep/a?x=1");
        assert_eq!(request.headers()[HOST], "[::1]:8443");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
    }
}
