//! The demo's story, act by act. Each act shows something and checks what it claims about it.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Error, Result, ensure};

use super::{
    claims::Claims,
    client::Client,
    counts::Counts,
    foobar::{Foobar, SERVICE_NAME, address_of},
    interrupt::{Interrupt, Interrupted},
    lab::{BACKENDS, BALANCER, INTRUDER, Lab, SERVICE},
    stats::Stats,
    table::Table,
};
use crate::say::{self, grouped};

const BURST: u64 = 3_000;
const RATE: u32 = 400;
const HELD: u32 = 24;
const CLOSED_PORT: u16 = 8080;
const DRAW_EVERY: Duration = Duration::from_millis(250);

/// Fields are dropped in this order: foobar leaves before its machines do.
pub struct Story {
    foobar: Foobar,
    lab: Lab,
    claims: Claims,
    /// Every request that had to be answered.
    requests: Counts,
    interrupt: Interrupt,
    keep: bool,
}

impl Story {
    /// Builds the machines.
    pub fn begin(binary: PathBuf, keep: bool, interrupt: Interrupt) -> Result<Self> {
        say::heading("1. A client, a balancer and four backends on one bridge");
        let mut lab = Lab::build()?;
        for (name, _) in BACKENDS {
            lab.respond(name, 80, keep)?;
        }
        lab.respond("lb", CLOSED_PORT, keep)?;
        let hosts = BACKENDS.map(|(name, address)| format!("{name} {address}")).join(", ");
        say::mark(true, &format!("client 10.77.0.1 and {INTRUDER}, balancer {BALANCER}, {hosts}"));
        say::mark(true, &format!("{SERVICE} is the address of the service; the backends answer for it directly"));
        let foobar = Foobar::new(binary, &lab.names);
        Ok(Self { foobar, lab, claims: Claims::default(), requests: Counts::default(), interrupt, keep })
    }

    /// All acts. Whether every claim held.
    pub fn tell(&mut self) -> Result<bool> {
        self.start()?;
        self.spread()?;
        self.firewall()?;
        self.change_under_load()?;
        self.sum_up();
        Ok(self.claims.all_hold())
    }

    fn start(&mut self) -> Result<()> {
        say::heading("2. foobar starts with this configuration");
        for line in self.foobar.configure()?.lines() {
            say::line(&say::dim(&format!("  {line}")));
        }
        self.foobar.start(&self.interrupt)?;
        let peer = format!("{}:lb", self.lab.names.namespace("sw"));
        self.foobar.tell(&["attach", "eth0", "--peer", &peer])?;
        self.foobar.wait_for_next_hops(&self.interrupt)?;
        say::mark(true, "attached; the way to every backend is known");
        Ok(())
    }

    fn spread(&mut self) -> Result<()> {
        say::heading(&format!("3. {} requests, a connection each", grouped(BURST)));
        let client = self.client(&["--requests", &BURST.to_string()])?;
        let mut table = Table::new("as fast as they go");
        while !client.is_done() {
            self.watch(&mut table, &client, DRAW_EVERY)?;
        }
        let counts = client.stop();
        let stats = self.foobar.stats()?;
        table.conclude(&counts, &stats);
        self.judge_spread(&counts, &stats);
        self.requests.add(&counts);
        Ok(())
    }

    fn judge_spread(&mut self, counts: &Counts, stats: &Stats) {
        let claim = format!("all {} requests were answered", grouped(BURST));
        self.claims.check(counts.answered() == BURST && counts.failed() == 0, &claim, &counts.reasons());

        let names = ["b1", "b2", "b3"];
        let shares = names.map(|name| counts.by(name));
        let even = BURST / 3;
        let off = shares.iter().map(|share| share.abs_diff(even)).max().unwrap_or(even);
        let figures = format!("{shares:?}, at most {}.{} % off", off * 100 / even, off * 1000 / even % 10);
        self.claims.check(off * 10 <= even, "three equal backends got equal shares, within 10 %", &figures);

        let counted = names.map(|name| connections(stats, name));
        // A SYN that was sent again counts again.
        let agrees = counted.iter().zip(shares).all(|(counted, share)| (share..=share + share / 100).contains(counted));
        self.claims.check(agrees, "foobar counted the same connections", &format!("{counted:?}"));
    }

    fn firewall(&mut self) -> Result<()> {
        say::heading("4. What the firewall drops");
        let before = self.foobar.stats()?;
        let port = format!("{BALANCER}:{CLOSED_PORT}");
        let to_port = self.probe(&["--target", &port])?;
        let service = format!("{SERVICE}:80");
        let from_intruder = self.probe(&["--target", &service, "--source", &INTRUDER.to_string()])?;
        let after = self.foobar.stats()?;
        for (counts, what, outcome) in [
            (to_port, format!("tcp/{CLOSED_PORT} of the balancer is closed"), "default_drop"),
            (from_intruder, format!("{INTRUDER} is kept out by its rule"), "denied"),
        ] {
            let (was, is) = (before.outcome(outcome), after.outcome(outcome));
            let holds = counts.answered() == 0 && is > was;
            let figures = format!("{}; counter {outcome}: {was} → {is}", counts.reasons());
            self.claims.check(holds, &format!("{what}, and a counter says so"), &figures);
        }

        self.foobar.tell(&["allow", &format!("tcp/{CLOSED_PORT}")])?;
        let allowed = self.probe(&["--target", &port])?;
        let holds = allowed.fresh_by("lb") == 1;
        self.claims.check(holds, &format!("tcp/{CLOSED_PORT} answers once it is allowed, live"), &allowed.reasons());
        self.requests.add(&allowed);
        Ok(())
    }

    fn change_under_load(&mut self) -> Result<()> {
        say::heading(&format!("5. {RATE} requests a second, {HELD} connections held open, and changes"));
        let client = self.client(&["--rate", &RATE.to_string(), "--hold", &HELD.to_string()])?;
        self.watch_quietly(&client, "steady", 2)?;
        self.drain(&client, "b1")?;
        self.add(&client, "b4")?;
        self.crash(&client)?;
        self.requests.add(&client.stop());
        Ok(())
    }

    fn drain(&mut self, client: &Client, backend: &str) -> Result<()> {
        self.foobar.tell(&["backend", "drain", SERVICE_NAME, &address_of(backend).to_string()])?;
        self.interrupt.pause(Duration::from_millis(700))?;
        let before = client.counts();
        self.watch_quietly(client, &format!("{backend} drains"), 3)?;
        let after = client.counts();
        let fresh = after.fresh_by(backend) - before.fresh_by(backend);
        let held = after.held_by(backend) - before.held_by(backend);
        let figures = format!("{fresh} on new connections, {held} on open ones");
        self.claims.check(fresh == 0, &format!("{backend} drains: no new connection goes there"), &figures);
        self.claims.check(held > 0, &format!("connections that {backend} holds open go on"), "");
        Ok(())
    }

    fn add(&mut self, client: &Client, backend: &str) -> Result<()> {
        self.foobar.tell(&["backend", "add", SERVICE_NAME, &address_of(backend).to_string()])?;
        self.watch_quietly(client, &format!("{backend} is new"), 3)?;
        let fresh = client.counts().fresh_by(backend);
        self.claims.check(
            fresh > 0,
            &format!("{backend}, added under load, takes its share"),
            &format!("{fresh} requests"),
        );
        Ok(())
    }

    fn crash(&mut self, client: &Client) -> Result<()> {
        let pid = self.foobar.kill()?;
        say::line(&say::dim(&format!("  $ kill -9 {pid}")));
        let before = client.counts();
        self.watch_quietly(client, "the daemon is dead", 3)?;
        let after = client.counts();
        let (answered, failed) = (after.answered() - before.answered(), after.failed() - before.failed());
        let figures = format!("{answered} answered, {failed} failed");
        self.claims.check(answered > 0 && failed == 0, "requests are served while the daemon is dead", &figures);

        say::line(&say::dim("  $ foobar run …"));
        self.foobar.start(&self.interrupt)?;
        self.watch_quietly(client, "the daemon is back", 2)?;
        let stats = self.foobar.stats()?;
        let state_of =
            |name: &str| stats.backend(SERVICE_NAME, &address_of(name).to_string()).map(|backend| backend.state);
        let (drained, added) = (state_of("b1"), state_of("b4"));
        let rules = self.foobar.tell(&["rules"])?;
        let has_rule = rules.contains(&format!("tcp/{CLOSED_PORT}"));
        let holds = drained.as_deref() == Some("drain") && added.as_deref() == Some("ready") && has_rule;
        let figures = format!("b1 {}, b4 {}", drained.unwrap_or_default(), added.unwrap_or_default());
        self.claims.check(
            holds,
            "started again, it goes on with the live rule, the drain and the new backend",
            &figures,
        );
        Ok(())
    }

    fn sum_up(&mut self) {
        say::heading("Summary");
        let (answered, failed) = (self.requests.answered(), self.requests.failed());
        let slowest = self.requests.slowest.as_millis();
        let figures = format!("{} answered, slowest {slowest} ms {}", grouped(answered), self.requests.reasons());
        self.claims.check(failed == 0, &format!("failed requests in all this: {failed}"), &figures);
        say::line("");
        self.claims.summarize();
    }

    /// Takes everything down, or says what to do with what stands.
    pub fn end(mut self, took: Duration) -> Result<()> {
        say::line(&say::dim(&format!("  {:.0} s", took.as_secs_f32())));
        if !self.keep {
            self.foobar.detach()?;
            return Ok(());
        }
        self.foobar.stay();
        self.lab.stay();
        let foobar = self.foobar.binary.display();
        let client = self.lab.names.namespace("client");
        say::heading("It stands. Things to try:");
        say::line(&format!("  export FOOBAR_SOCKET={}", self.foobar.socket().display()));
        for command in ["status", "stats --watch", "rules", "deny from 10.77.0.1", "backend ready web 10.77.0.11"] {
            say::line(&format!("  {foobar} {command}"));
        }
        say::line(&format!("  nsenter --net=/run/netns/{client} curl http://{SERVICE}/"));
        say::line("  cargo xtask demo --clean        # takes it all down");
        Ok(())
    }

    /// An error with the daemon's last words, unless somebody just pressed Ctrl-C.
    pub fn explain(&self, error: Error) -> Error {
        if error.is::<Interrupted>() {
            return error;
        }
        let words = self.foobar.last_words();
        if words.is_empty() { error } else { error.context(format!("the daemon's log ends so:\n    {words}\n ")) }
    }

    /// A load client against the service.
    fn client(&self, args: &[&str]) -> Result<Client> {
        let target = format!("{SERVICE}:80");
        Client::start(&self.lab, &[&["--target", &target], args].concat())
    }

    /// One request that has a second to be answered.
    fn probe(&self, args: &[&str]) -> Result<Counts> {
        let once = ["--requests", "1", "--workers", "1", "--timeout-ms", "1000"];
        let client = Client::start(&self.lab, &[&once, args].concat())?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !client.is_done() {
            self.interrupt.pause(Duration::from_millis(20))?;
            ensure!(Instant::now() < deadline, "the client hangs");
        }
        let counts = client.stop();
        ensure!(counts.answered() + counts.failed() == 1, "the client could not even ask");
        Ok(counts)
    }

    fn watch_quietly(&self, client: &Client, caption: &str, seconds: u64) -> Result<()> {
        let mut table = Table::new(caption);
        self.watch(&mut table, client, Duration::from_secs(seconds))
    }

    /// Draws the table for a while.
    fn watch(&self, table: &mut Table, client: &Client, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            table.show(&client.counts(), self.foobar.stats().ok().as_ref());
            self.interrupt.pause(DRAW_EVERY.min(end.saturating_duration_since(Instant::now())))?;
        }
        Ok(())
    }
}

/// How many connections foobar counted for a backend.
fn connections(stats: &Stats, backend: &str) -> u64 {
    stats.backend(SERVICE_NAME, &address_of(backend).to_string()).map_or(0, |backend| backend.connections)
}
