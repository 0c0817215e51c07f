//! Nodes and the network between them, in virtual time and from a seed.

use std::{cmp::Reverse, collections::BinaryHeap, rc::Rc};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    host::{Host, MS, Plan, ROOMS, name},
    oracle::Oracle,
};

/// The fault of a run, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// The process of a node stands still.
    Stall {
        host: usize,
        ms: u64,
    },
    /// A node ends at once, and may come back.
    Kill {
        host: usize,
        back_after_ms: Option<u64>,
    },
    /// No message reaches any node.
    Away {
        ms: u64,
    },
    /// UTC of a node is set, and set right again.
    Step {
        host: usize,
        by_ms: i64,
        for_ms: u64,
    },
}

/// A cluster and its network.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub plans: Vec<Plan>,
    /// When each node begins.
    pub starts_ns: Vec<u64>,
    pub delay_ns: u64,
    pub jitter_ns: u64,
    pub loss: f64,
    pub twice: f64,
    /// A spell in which messages take much longer, each by any time up to this.
    pub spell_ns: u64,
    pub trouble: Trouble,
    pub trouble_ns: u64,
    /// From here on the network is good.
    pub calm_ns: u64,
    pub end_ns: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Start(usize),
    Tick(usize, u64),
    Poll(usize, u64),
    Clocks(usize, u64),
    Arrive {
        to: usize,
        from: usize,
        bytes: Rc<Vec<u8>>,
    },
    Presence,
    Trouble,
    Over,
}

pub struct World {
    pub scenario: Scenario,
    pub hosts: Vec<Option<Host>>,
    pub oracle: Oracle,
    /// Hosts that were killed.
    pub dead: Vec<Host>,
    /// How often each was started.
    lives: Vec<u64>,
    died_ns: Vec<Option<u64>>,
    resumes_ns: Vec<u64>,
    away_until_ns: u64,
    queue: BinaryHeap<Reverse<(u64, u64, What)>>,
    order: u64,
    random: StdRng,
    pub links_checked: usize,
}

const PRESENCE_NS: u64 = 100 * MS;
const LEASE_NS: u64 = 1_000 * MS;

impl World {
    pub fn new(scenario: Scenario) -> Self {
        let count = scenario.plans.len();
        let mut world = Self {
            hosts: (0..count).map(|_| None).collect(),
            oracle: Oracle::default(),
            dead: Vec::new(),
            lives: vec![0; count],
            died_ns: vec![None; count],
            resumes_ns: vec![0; count],
            away_until_ns: 0,
            queue: BinaryHeap::new(),
            order: 0,
            random: StdRng::seed_from_u64(scenario.seed),
            links_checked: 0,
            scenario,
        };
        for host in 0..count {
            world.at(world.scenario.starts_ns[host], What::Start(host));
        }
        world.at(0, What::Presence);
        world.at(world.scenario.trouble_ns, What::Trouble);
        world
    }

    fn at(&mut self, at_ns: u64, what: What) {
        self.order += 1;
        self.queue.push(Reverse((at_ns, self.order, what)));
    }

    pub fn run(&mut self) {
        while let Some(Reverse((at_ns, _, what))) = self.queue.pop() {
            if at_ns >= self.scenario.end_ns {
                break;
            }
            self.step(at_ns, what);
        }
        let end_ns = self.scenario.end_ns;
        for host in self.hosts.iter_mut().flatten() {
            self.links_checked += host.check_links(end_ns);
            host.rig.check_ledger();
        }
    }

    /// A host that runs; what comes for one that stands still comes when it goes on.
    fn running(&mut self, host: usize, now_ns: u64, what: What) -> Option<What> {
        let resumes_ns = self.resumes_ns[host];
        if now_ns < resumes_ns {
            self.at(resumes_ns, what);
            return None;
        }
        self.hosts[host].is_some().then_some(what)
    }

    fn step(&mut self, now_ns: u64, what: What) {
        let host = match &what {
            What::Tick(host, _) | What::Poll(host, _) | What::Clocks(host, _) => Some(*host),
            What::Arrive { to, .. } => Some(*to),
            _ => None,
        };
        let what = match host {
            Some(host) => match self.running(host, now_ns, what) {
                Some(what) => what,
                None => return,
            },
            None => what,
        };
        match what {
            What::Start(host) => self.start(host, now_ns),
            What::Tick(host, life) if life == self.lives[host] => self.tick(host, now_ns),
            What::Poll(host, life) if life == self.lives[host] => {
                let it = self.hosts[host].as_mut().unwrap();
                it.poll(now_ns, &self.oracle);
                let next_ns = it.judged_ns(now_ns);
                self.at(next_ns, What::Poll(host, life));
            }
            What::Clocks(host, life) if life == self.lives[host] => {
                let it = self.hosts[host].as_mut().unwrap();
                it.read_clocks(now_ns);
                it.note_events(now_ns);
                self.links_checked += it.check_links(now_ns);
                self.at(now_ns + 250 * MS, What::Clocks(host, life));
            }
            What::Tick(..) | What::Poll(..) | What::Clocks(..) => {}
            What::Arrive { to, from, bytes } => {
                let it = self.hosts[to].as_mut().unwrap();
                it.receive(from, &bytes, now_ns, &self.oracle);
            }
            What::Presence => self.presence(now_ns),
            What::Trouble => self.trouble(now_ns),
            What::Over => self.over(),
        }
    }

    fn start(&mut self, host: usize, now_ns: u64) {
        self.lives[host] += 1;
        let life = self.lives[host];
        let plan = &self.scenario.plans[host];
        self.hosts[host] = Some(Host::new(host, life, plan, now_ns));
        self.died_ns[host] = None;
        self.at(now_ns, What::Tick(host, life));
        self.at(now_ns, What::Poll(host, life));
        self.at(now_ns, What::Clocks(host, life));
    }

    fn tick(&mut self, host: usize, now_ns: u64) {
        let it = self.hosts[host].as_mut().unwrap();
        let messages = it.tick(now_ns, &mut self.oracle);
        let due_ns = it.tick_due_ns().max(now_ns);
        self.at(due_ns, What::Tick(host, self.lives[host]));
        for bytes in messages {
            let bytes = Rc::new(bytes);
            for to in (0..self.hosts.len()).filter(|to| *to != host) {
                self.send(host, to, &bytes, now_ns);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: &Rc<Vec<u8>>, now_ns: u64) {
        if now_ns < self.away_until_ns {
            return;
        }
        let Scenario {
            calm_ns,
            loss,
            twice,
            jitter_ns,
            spell_ns,
            delay_ns,
            trouble_ns,
            ..
        } = self.scenario;
        let is_calm = now_ns >= calm_ns;
        if !is_calm && self.random.random_bool(loss) {
            return;
        }
        let copies = 1 + usize::from(!is_calm && self.random.random_bool(twice));
        for _ in 0..copies {
            let spell = trouble_ns..trouble_ns + 200 * MS;
            let more_ns = if is_calm {
                2 * MS
            } else if spell.contains(&now_ns) {
                spell_ns
            } else {
                jitter_ns
            };
            let way_ns = delay_ns + self.random.random_range(0..=more_ns);
            let bytes = Rc::clone(bytes);
            self.at(now_ns + way_ns, What::Arrive { to, from, bytes });
        }
    }

    fn presence(&mut self, now_ns: u64) {
        self.at(now_ns + PRESENCE_NS, What::Presence);
        if now_ns < self.away_until_ns {
            return;
        }
        for of in 0..self.hosts.len() {
            let rooms = self.hosts[of].as_ref().map(Host::rooms);
            let is_over = self.died_ns[of].is_some_and(|died| now_ns >= died + LEASE_NS);
            for host in (0..self.hosts.len()).filter(|host| *host != of) {
                let runs = now_ns >= self.resumes_ns[host];
                if let Some(host) = self.hosts[host].as_mut().filter(|_| runs) {
                    match &rooms {
                        Some(rooms) => host.presence(of, rooms, now_ns),
                        None if is_over => host.gone(of, now_ns),
                        None => {}
                    }
                }
            }
        }
    }

    fn trouble(&mut self, now_ns: u64) {
        match self.scenario.trouble {
            Trouble::None => {}
            Trouble::Stall { host, ms } => self.resumes_ns[host] = now_ns + ms * MS,
            Trouble::Kill {
                host,
                back_after_ms,
            } => {
                self.dead.extend(self.hosts[host].take());
                self.died_ns[host] = Some(now_ns);
                if let Some(ms) = back_after_ms {
                    self.at(now_ns + ms * MS, What::Start(host));
                }
            }
            Trouble::Away { ms } => self.away_until_ns = now_ns + ms * MS,
            Trouble::Step {
                host,
                by_ms,
                for_ms,
            } => {
                let host = self.hosts[host].as_mut().unwrap();
                host.plan.utc_ahead_ns += by_ms * MS as i64;
                self.at(now_ns + for_ms * MS, What::Over);
            }
        }
    }

    fn over(&mut self) {
        if let Trouble::Step { host, by_ms, .. } = self.scenario.trouble {
            let host = self.hosts[host].as_mut().unwrap();
            host.plan.utc_ahead_ns -= by_ms * MS as i64;
        }
    }

    /// All hosts that share a room, and are aligned, sound the same at the end.
    pub fn check_end(&self) -> usize {
        let mut pairs = 0;
        let aligned: Vec<_> = self
            .hosts
            .iter()
            .flatten()
            .filter(|host| host.is_aligned())
            .collect();
        for room in 0..ROOMS {
            let of_room: Vec<_> = aligned.iter().filter(|host| host.has_room(room)).collect();
            for pair in of_room.windows(2) {
                let [one, other] = pair else { unreachable!() };
                let life = |host: &Host| (host.index, host.node.incarnation());
                self.oracle.ends_same(room, life(one), life(other), 10);
                pairs += 1;
            }
        }
        pairs
    }

    /// Events of this host at the others, host by host.
    pub fn said_of(
        &self,
        host: usize,
    ) -> impl Iterator<Item = (usize, u64, &mixpool::cluster::Event)> {
        use mixpool::cluster::Event::{NodeDown, NodeGone, NodeUp};
        let of = name(host);
        let all = self.hosts.iter().flatten();
        let events = all.flat_map(|it| {
            it.events
                .iter()
                .map(|(at_ns, event)| (it.index, *at_ns, event))
        });
        events.filter(move |(_, _, event)| match event {
            NodeUp { node, .. } | NodeDown { node, .. } | NodeGone { node } => **node == *of,
            _ => false,
        })
    }
}
