//! Points that come neither with a verb of a client nor with a start: on the way down, and while a build goes on.

use std::time::Duration;

use e2e::{Repo, Server, wait_until};

use crate::client::Client;
use crate::verbs::buildpack;
use crate::{Place, Walk, asked, invariants};

/// The lease of a build is made longer every ten seconds.
const SOON: Duration = Duration::from_secs(30);

/// Something that goes on, and the points that it comes to.
struct Moment {
    name: &'static str,
    points: [&'static str; 2],
    /// Makes what it needs, with nothing armed.
    prepare: fn(&Server, &Client),
    /// Brings it about, and waits for the server's end.
    come: fn(&mut Server, &Client),
}

const MOMENTS: [Moment; 3] = [
    Moment {
        name: "stop",
        points: ["dyno.stopped_with_server:before", "dyno.stopped_with_server:after"],
        prepare: fresh_dynos,
        come: stop,
    },
    Moment {
        name: "stop after a request",
        points: ["rate_limit.written:before", "rate_limit.written:after"],
        prepare: fresh_dynos,
        come: stop,
    },
    Moment {
        name: "long build",
        points: ["job.renewed:before", "job.renewed:after"],
        prepare: |_, _| (),
        come: long_build,
    },
];

impl Walk<'_> {
    /// Walks each moment that is asked for.
    pub(crate) fn moments(&mut self) {
        for moment in &MOMENTS {
            self.part(moment.name, |walk| walk.moment(moment));
        }
    }

    fn moment(&mut self, moment: &Moment) {
        let Some(asked) = asked(moment.name) else { return };
        let points = self.wanted(moment.points.map(str::to_owned).to_vec(), &asked);
        for (number, point) in points.iter().enumerate() {
            self.say(moment.name, number, points.len(), point);
            let place = format!("{} {point}", moment.name);
            let guard = Place(place.clone());
            (moment.prepare)(&self.server, &self.client);
            // Something is to be written down: that a request was made.
            self.client.get("/account");
            self.points.arm(point);
            (moment.come)(&mut self.server, &self.client);
            self.points.disarm();
            self.book.walked(&place, point, self.points.has_struck());
            invariants::no_work_is_left(&self.client);
            invariants::hold(&self.server, &self.client);
            drop(guard);
        }
    }
}

/// A stop that is cut off leaves dynos that have exited, which the next start takes for crashed: after several in a row there
/// are longer waits. A restart forgets them.
fn fresh_dynos(server: &Server, client: &Client) {
    for app in client.list("/apps") {
        let name = app["name"].as_str().unwrap_or_default();
        client.http.api("DELETE", &format!("/apps/{name}/dynos")).with_status(202);
    }
    invariants::hold(server, client);
}

/// `paddockd stop --stop-dynos`; the operator whose server was killed on its way down starts it again.
fn stop(server: &mut Server, _: &Client) {
    let _ = server.paddockd("stop", &["--stop-dynos"]);
    wait_until("the server's end", SOON, || server.has_died().then_some(()));
    server.restart();
}

/// A push whose build takes longer than the first lease of its job.
fn long_build(server: &mut Server, client: &Client) {
    let repo = Repo::of_app("journey");
    buildpack::set_up(client, &repo, "wait", 0);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| client.push(buildpack::BUILT, &repo));
        wait_until("the server's end", SOON, || server.has_died().then_some(()));
        server.restart();
        let pushed = pushing.join().unwrap();
        assert_ne!(pushed.status, 0, "a build that was interrupted did not succeed: {}", pushed.text());
    });
}
