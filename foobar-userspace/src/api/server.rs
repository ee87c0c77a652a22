//! The paths of the API, and serving them until told to stop.

use std::{future::Future, os::unix::net::UnixListener};

use anyhow::Context;
use axum::{
    Router,
    routing::{delete, get, patch, post},
};

use super::{daemon::Daemon, routes, watch};

/// Every path; what each takes and answers is in [`routes`].
pub fn router(daemon: Daemon) -> Router {
    Router::new()
        .route("/v1/status", get(routes::status))
        .route("/v1/stats", get(routes::stats))
        .route("/v1/rules", get(routes::rules).post(routes::add_rule))
        .route("/v1/rules/{id}", delete(routes::remove_rule))
        .route("/v1/events", get(watch::events))
        .route("/v1/apply", post(routes::apply))
        .route("/v1/apply/dry-run", post(routes::dry_run))
        .route("/v1/config", get(routes::running))
        .route("/v1/saved", post(routes::saved))
        .route("/v1/confirm", post(routes::confirm))
        .route("/v1/rollback", post(routes::roll_back))
        .route("/v1/explain", post(routes::explain))
        .route("/v1/sets", get(routes::sets).post(routes::new_set))
        .route("/v1/sets/{name}", get(routes::set_members).patch(routes::change_set).delete(routes::remove_set))
        .route("/v1/sets/{name}/reload", post(routes::reload_set))
        .route("/v1/services", get(routes::services).post(routes::add_service))
        .route("/v1/services/{name}", delete(routes::remove_service))
        .route("/v1/services/{name}/backends", post(routes::add_backend))
        .route("/v1/services/{name}/backends/{address}", patch(routes::change_backend).delete(routes::remove_backend))
        .route("/v1/interfaces", post(routes::attach).delete(routes::detach_all))
        .route("/v1/interfaces/{name}", delete(routes::detach))
        .fallback(routes::no_such_path)
        .method_not_allowed_fallback(routes::no_such_path)
        .with_state(daemon)
}

/// Serves until `stop` resolves, then finishes the requests under way.
pub async fn serve(
    listener: UnixListener,
    daemon: Daemon,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener).context("cannot watch the socket")?;
    axum::serve(listener, router(daemon)).with_graceful_shutdown(stop).await.context("cannot serve the API")
}
