//! What each path does: read the request, ask the engine, answer.

use std::collections::{HashMap, HashSet};

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
};

use super::{
    changes::{Addition, Change},
    convert,
    daemon::Daemon,
    types::{
        AddRule, AddedRule, Applied, ApplyFile, Attached, BackendChange, BackendSpec, Confirmed, Detached, DryRun,
        Explain, Explained, InterfaceSpec, NewSet, Refusal, Reloaded, RemovedRule, RuleLine, Running, Safety,
        ServiceSpec, ServiceStatus, SetChange, SetChanged, SetMembers, SetStatus, Stats, Status,
    },
    wire::{Answer, Done, Reply, read},
};
use crate::{
    daemon::{apply::ReadFile, engine::Engine},
    nexthop::interface_towards,
};

pub async fn status(State(daemon): State<Daemon>) -> Answer<Status> {
    daemon.with(Engine::status).await.map(Reply)
}

pub async fn stats(State(daemon): State<Daemon>) -> Answer<Stats> {
    daemon.with(|engine| engine.stats()).await.map(Reply)
}

pub async fn rules(State(daemon): State<Daemon>) -> Answer<Vec<RuleLine>> {
    daemon.with(|engine| engine.rules()).await.map(Reply)
}

pub async fn add_rule(State(daemon): State<Daemon>, body: Bytes) -> Answer<AddedRule> {
    let request: AddRule = read(&body)?;
    let place = convert::place(request.before, request.after)?;
    let rule = convert::rule(&request.rule)?;
    let way = convert::way(request.egress);
    let caution = convert::caution(request.safety).await?;
    daemon.with(move |engine| engine.add_rule(rule, way, &place, &caution)).await.map(Reply)
}

pub async fn remove_rule(State(daemon): State<Daemon>, Path(id): Path<String>, body: Bytes) -> Answer<RemovedRule> {
    let safety = if body.is_empty() { Safety::default() } else { read(&body)? };
    let caution = convert::caution(safety).await?;
    daemon.with(move |engine| engine.remove_rule(&id, &caution)).await.map(Reply)
}

pub async fn apply(State(daemon): State<Daemon>, body: Bytes) -> Answer<Applied> {
    let ApplyFile { text, path, safety } = read(&body)?;
    let file = ReadFile { path, text };
    let caution = convert::caution(safety).await?;
    let config = file.config()?;
    let backends = config.services.iter().flat_map(|service| &service.backends);
    daemon.look_up(backends.map(|backend| backend.address).collect()).await?;
    daemon.with_backends(move |engine| engine.apply(&file, &config, &caution)).await.map(Reply)
}

/// Changes nothing.
pub async fn dry_run(State(daemon): State<Daemon>, body: Bytes) -> Answer<DryRun> {
    let ApplyFile { text, path, safety: _ } = read(&body)?;
    let open = daemon.with(|engine| Ok(engine.open_sockets())).await?;
    let mut ways = HashMap::new();
    for peer in open.iter().map(|socket| socket.peer.ip()).collect::<HashSet<_>>() {
        ways.insert(peer, interface_towards(peer).await);
    }
    let sockets: Vec<_> = open.into_iter().map(|socket| (socket, ways[&socket.peer.ip()])).collect();
    let recent = daemon.packets().recent();
    daemon.with(move |engine| engine.dry_run(&ReadFile { path, text }, &sockets, &recent)).await.map(Reply)
}

pub async fn running(State(daemon): State<Daemon>) -> Answer<Running> {
    daemon.with(|engine| Ok(engine.running())).await.map(Reply)
}

/// Hears that a file says what runs.
pub async fn saved(State(daemon): State<Daemon>, body: Bytes) -> Answer<Done> {
    let ApplyFile { text, path, safety: _ } = read(&body)?;
    done(daemon.with(move |engine| engine.saved(&ReadFile { path, text })).await)
}

pub async fn confirm(State(daemon): State<Daemon>) -> Answer<Confirmed> {
    daemon.with_backends(Engine::confirm).await.map(Reply)
}

pub async fn roll_back(State(daemon): State<Daemon>) -> Answer<Confirmed> {
    daemon.with_backends(Engine::roll_back).await.map(Reply)
}

pub async fn explain(State(daemon): State<Daemon>, body: Bytes) -> Answer<Explained> {
    let Explain { packet, egress } = read(&body)?;
    let packet = packet.parse()?;
    daemon.with(move |engine| engine.explain(packet, convert::way(egress))).await.map(Reply)
}

pub async fn sets(State(daemon): State<Daemon>) -> Answer<Vec<SetStatus>> {
    daemon.with(|engine| Ok(engine.sets())).await.map(Reply)
}

pub async fn set_members(State(daemon): State<Daemon>, Path(name): Path<String>) -> Answer<SetMembers> {
    daemon.with(move |engine| engine.set_members(&name)).await.map(Reply)
}

pub async fn new_set(State(daemon): State<Daemon>, body: Bytes) -> Answer<Done> {
    let name = convert::set_name(read::<NewSet>(&body)?)?;
    done(daemon.with(move |engine| engine.new_set(&name)).await)
}

pub async fn remove_set(State(daemon): State<Daemon>, Path(name): Path<String>) -> Answer<Done> {
    done(daemon.with(move |engine| engine.remove_set(&name)).await)
}

pub async fn change_set(State(daemon): State<Daemon>, Path(name): Path<String>, body: Bytes) -> Answer<SetChanged> {
    let SetChange { add, remove, lifetime, safety } = read(&body)?;
    let caution = convert::caution_at_once(safety).await?;
    let (add, remove) = (convert::prefixes(&add)?, convert::prefixes(&remove)?);
    let lifetime = convert::lifetime(lifetime.as_deref())?;
    daemon.with(move |engine| engine.change_set(&name, &add, &remove, lifetime, &caution)).await.map(Reply)
}

pub async fn reload_set(State(daemon): State<Daemon>, Path(name): Path<String>, body: Bytes) -> Answer<Reloaded> {
    let safety = if body.is_empty() { Safety::default() } else { read(&body)? };
    let caution = convert::caution_at_once(safety).await?;
    daemon.with(move |engine| engine.reload_set(&name, &caution)).await.map(Reply)
}

pub async fn services(State(daemon): State<Daemon>) -> Answer<Vec<ServiceStatus>> {
    daemon.with(|engine| Ok(engine.services())).await.map(Reply)
}

pub async fn add_service(State(daemon): State<Daemon>, body: Bytes) -> Answer<Done> {
    let service = convert::service(read::<ServiceSpec>(&body)?)?;
    daemon.look_up(service.backends.iter().map(|backend| backend.address).collect()).await?;
    done(daemon.with_backends(|engine| engine.add_service(service)).await)
}

pub async fn remove_service(State(daemon): State<Daemon>, Path(name): Path<String>) -> Answer<Done> {
    done(daemon.with_backends(move |engine| engine.remove_service(&name)).await)
}

pub async fn add_backend(State(daemon): State<Daemon>, Path(service): Path<String>, body: Bytes) -> Answer<Done> {
    let addition = Addition::read(&read::<BackendSpec>(&body)?)?;
    daemon.look_up(vec![addition.address()]).await?;
    done(daemon.with_backends(move |engine| addition.apply(engine, &service)).await)
}

pub async fn change_backend(
    State(daemon): State<Daemon>,
    Path((service, address)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Done> {
    let address = convert::address(&address)?;
    let change = Change::read(read::<BackendChange>(&body)?)?;
    done(daemon.with_backends(move |engine| change.apply(engine, &service, address)).await)
}

pub async fn remove_backend(
    State(daemon): State<Daemon>,
    Path((service, address)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<Done> {
    let address = convert::address(&address)?;
    let (now, deadline) = convert::removal(query.as_deref())?;
    done(daemon.with_backends(move |engine| engine.remove_backend(&service, address, now, deadline)).await)
}

pub async fn attach(State(daemon): State<Daemon>, body: Bytes) -> Answer<Attached> {
    let interface = convert::interface(read::<InterfaceSpec>(&body)?)?;
    daemon.with_backends(move |engine| engine.attach(&interface)).await.map(Reply)
}

pub async fn detach(State(daemon): State<Daemon>, Path(name): Path<String>) -> Answer<Detached> {
    daemon.with_backends(move |engine| engine.detach(Some(&name))).await.map(Reply)
}

pub async fn detach_all(State(daemon): State<Daemon>) -> Answer<Detached> {
    daemon.with_backends(|engine| engine.detach(None)).await.map(Reply)
}

pub async fn no_such_path() -> Refusal {
    Refusal::missing("the daemon has no such path").hint("is `foobar` as old as the daemon it talks to?")
}

fn done(answer: Result<(), Refusal>) -> Answer<Done> {
    answer.map(|()| Reply(Done {}))
}
