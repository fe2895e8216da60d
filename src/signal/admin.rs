//! The operator's port: `/metrics`, `/healthz`, `/readyz`, `/api/v1/node`, and the dashboard that shows the latter. It
//! is read-only.
//!
//! On loopback it is plain HTTP, and needs no token unless `auth.admin_token_required` is set. Figures are then given
//! only to a request for an address or for `localhost`, which a web page that got in by DNS rebinding cannot make.
//! Elsewhere the port is TLS, and figures need a token with action `admin`. `/healthz` and `/readyz` are open
//! everywhere, because probes have no token and each answer tells one bit. The dashboard is open too, because the page
//! is the same on every node and asks for the token that its figures need.

use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, StatusCode};
use serde::Serialize;

use super::authorise::Authorisation;
use super::clock::Clock;
use super::code::Code;
use super::cors;
use super::http::{Request, Response, Service, Upgrade};
use super::keeper::SessionKeeper;
use super::node_info::NodeInfo;
use super::ownership::Ownership;
use super::problem::Problem;
use super::router;
use super::shutdown::Shutdown;
use super::tls::Certificates;
use crate::metrics::{self, BuildInfo, SignallingCounters};
use crate::net::host::KernelUdpCounters;
use crate::net::process;
use crate::web;
use crate::worker::report::WorkerReport;

/// The service of the operator's port.
#[derive(Clone)]
pub(super) struct AdminService {
    pub(super) figures: Rc<Figures>,
    pub(super) authorisation: Rc<Authorisation>,
    pub(super) shutdown: Rc<Shutdown>,
    pub(super) counters: SignallingCounters,
    /// Other hosts can reach the port, so figures need a token.
    pub(super) is_remote: bool,
}

/// Where the figures come from.
pub(super) struct Figures {
    pub(super) node: NodeInfo,
    pub(super) keeper: Rc<SessionKeeper>,
    /// The certificates that HTTPS is served with.
    pub(super) certificates: Certificates,
    /// Who owns streams' names, and what it knows of other nodes.
    pub(super) ownership: Rc<dyn Ownership>,
    pub(super) clock: Clock,
}

/// `GET /api/v1/node`.
#[derive(Serialize)]
struct Node<'a> {
    node: &'a NodeInfo,
    ready: bool,
    uptime_ns: u64,
    publishers: usize,
    viewers: usize,
    waiting_viewers: usize,
    /// How many workers did not answer in time.
    workers_silent: usize,
    resident_memory_bytes: Option<u64>,
    /// The counters of the network namespace, which include other programs' datagrams.
    kernel_udp: Option<KernelUdpCounters>,
    workers: &'a [WorkerReport],
}

impl Service for AdminService {
    async fn call(&self, request: Request, _: &Upgrade) -> Response {
        let _under_way = self.shutdown.begin_request();
        let (route, answer) = match request.uri().path() {
            "/metrics" => ("metrics", self.get_figures(&request, Self::metrics).await),
            "/healthz" => ("healthz", self.get(&request, Self::health).await),
            "/readyz" => ("readyz", self.get(&request, Self::ready).await),
            "/api/v1/node" => ("node", self.get_figures(&request, Self::node).await),
            "/api/v1/cluster" => ("cluster", self.get_figures(&request, Self::cluster).await),
            path => match web::admin_asset(path) {
                Some(asset) => {
                    ("dashboard", self.get(&request, async |_| Ok(router::embedded(asset, request.headers()))).await)
                }
                None => ("admin", Err(not_found())),
            },
        };
        let mut response = answer.unwrap_or_else(Response::from);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.counters.request(route, response.status().as_u16());
        response
    }
}

impl AdminService {
    /// Calls the handler if the method is `GET` or `HEAD`.
    async fn get(
        &self,
        request: &Request,
        handler: impl AsyncFn(&Self) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Err(Problem::method("GET, HEAD"));
        }
        handler(self).await
    }

    /// The same, if the client may see figures.
    async fn get_figures(
        &self,
        request: &Request,
        handler: impl AsyncFn(&Self) -> Result<Response, Problem>,
    ) -> Result<Response, Problem> {
        if self.is_remote || self.authorisation.now().admin_token_required() {
            self.authorisation.operator(request).await?;
        } else if cors::authority(request).is_some_and(|authority| !cors::is_local(authority)) {
            return Err(not_by_that_name());
        }
        self.get(request, handler).await
    }

    async fn metrics(&self) -> Result<Response, Problem> {
        let reports = self.figures.keeper.workers().reports().await;
        let node = &self.figures.node;
        let build = BuildInfo { version: node.version, commit: node.commit, features: node.features };
        let audience = self.figures.keeper.audience();
        self.counters.webhook_events_dropped(self.authorisation.now().events_dropped());
        self.counters.webhook_questions_turned_away(self.authorisation.now().questions_turned_away());
        let dates = self.figures.certificates.dates();
        self.counters.certificates(dates.iter().map(|dates| (dates.name.as_str(), dates.not_after_s)));
        Ok(text(metrics::CONTENT_TYPE, self.counters.encode(audience, build, reports)))
    }

    /// Healthy means that signalling answers. A dead worker ends the process.
    async fn health(&self) -> Result<Response, Problem> {
        Ok(text("text/plain; charset=utf-8", "ok\n"))
    }

    /// Ready means that every worker answers and that the node is not shutting down.
    async fn ready(&self) -> Result<Response, Problem> {
        if self.shutdown.has_begun() {
            return Err(Problem::unavailable(Code::ShuttingDown, "the node is ending"));
        }
        let answered = self.figures.keeper.workers().answering().await;
        let workers = usize::from(self.figures.keeper.workers().count());
        if answered < workers {
            let silent = workers - answered;
            return Err(Problem::unavailable(
                Code::WorkerSilent,
                format!("{silent} of {workers} workers did not answer"),
            ));
        }
        Ok(text("text/plain; charset=utf-8", "ready\n"))
    }

    /// What this node knows of its cluster.
    async fn cluster(&self) -> Result<Response, Problem> {
        let report = self.figures.ownership.report().ok_or_else(alone)?;
        let mut json = serde_json::to_vec_pretty(&report).map_err(|error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::ReportUnwritable, error.to_string())
        })?;
        json.push(b'\n');
        Ok(text("application/json", json))
    }

    async fn node(&self) -> Result<Response, Problem> {
        let workers = self.figures.keeper.workers().reports().await;
        let audience = self.figures.keeper.audience();
        let node = Node {
            node: &self.figures.node,
            ready: !self.shutdown.has_begun(),
            uptime_ns: self.figures.clock.now().as_nanos(),
            publishers: audience.publishers,
            viewers: audience.viewers,
            waiting_viewers: audience.waiting_viewers,
            workers_silent: usize::from(self.figures.keeper.workers().count()) - workers.len(),
            resident_memory_bytes: process::resident_bytes().ok(),
            kernel_udp: KernelUdpCounters::read().ok(),
            workers: &workers,
        };
        let mut json = serde_json::to_vec_pretty(&node).map_err(|error| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::ReportUnwritable, error.to_string())
        })?;
        json.push(b'\n');
        Ok(text("application/json", json))
    }
}

fn alone() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Code::NotFound,
        "this node is in no cluster: its configuration names none in cluster.engine",
    )
}

fn text(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn not_by_that_name() -> Problem {
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        Code::NotByThatName,
        "ask for figures by an address or as localhost, so that no web page can under a name of its own; or set auth.admin_token_required and show a token",
    )
}

fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Code::NotFound,
        "this port answers /dashboard, /metrics, /healthz, /readyz, /api/v1/node and /api/v1/cluster; other pages and sessions are on the https port",
    )
}
