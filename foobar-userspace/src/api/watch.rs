//! `GET /v1/events`: a JSON object a line, for as long as the client stays.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{RawQuery, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    daemon::Daemon,
    events::{Filter, WatchLine, Wish},
    types::Refusal,
};

pub async fn events(State(daemon): State<Daemon>, RawQuery(query): RawQuery) -> Result<Response, Refusal> {
    let wish = Wish::read(query.as_deref())?;
    // First, so that drops are shown for as long as this is there.
    let lines = daemon.packets().subscribe();
    let lines = lines.ok_or_else(|| Refusal::broken("the daemon is stopping"))?;
    let filter = daemon.with(move |engine| engine.watch(wish)).await?;
    let body = Body::from_stream(stream::unfold((lines, filter), |(mut lines, filter)| async move {
        let line = next(&mut lines, &filter).await?;
        Some((Ok::<_, Infallible>(line), (lines, filter)))
    }));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The next line that is wanted; `None` when the daemon stops.
async fn next(lines: &mut Receiver<Arc<WatchLine>>, filter: &Filter) -> Option<Bytes> {
    loop {
        let line = match lines.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(more)) => Arc::new(WatchLine::NotShown(more)),
            Err(RecvError::Closed) => return None,
        };
        if let WatchLine::Packet(event) = &*line
            && !filter.wants(event)
        {
            continue;
        }
        let mut text = serde_json::to_vec(&*line).ok()?;
        text.push(b'\n');
        return Some(text.into());
    }
}
