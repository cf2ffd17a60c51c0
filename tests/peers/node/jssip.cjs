// JsSIP as a phone: `node jssip.cjs`, orders and events as browser.cjs has them.
"use strict";

const { obey, silence, tell } = require("./browser.cjs");
const JsSIP = require("jssip");

let ua = null;
let session = null;

function watch(newSession, incoming) {
  session = newSession;
  session.on("progress", (e) => incoming || tell("ringing", { status: e.response.status_code }));
  session.on("confirmed", () => tell("answered"));
  session.on("hold", (e) => tell("held", { by: e.originator }));
  session.on("unhold", (e) => tell("resumed", { by: e.originator }));
  for (const how of ["ended", "failed"]) {
    session.on(how, (e) =>
      tell("ended", {
        by: e.originator,
        cause: e.cause,
        status: e.message && e.message.status_code ? e.message.status_code : 0,
        reason: e.message && e.message.getHeader ? e.message.getHeader("Reason") || "" : "",
      }),
    );
  }
}

obey({
  /** {server, uri, password, expires}: connects, and registers. */
  register({ server, uri, password, expires = 600 }) {
    ua = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(server)],
      uri,
      password,
      register_expires: expires,
      session_timers: false,
      connection_recovery_min_interval: 1,
      user_agent: "JsSIP",
    });
    ua.on("registered", (e) => tell("registered", { contacts: e.response.getHeaders("Contact") }));
    ua.on("unregistered", () => tell("unregistered"));
    ua.on("registrationFailed", (e) => tell("refused", { status: e.response ? e.response.status_code : 0 }));
    ua.on("disconnected", () => tell("disconnected"));
    ua.on("newMessage", (e) => e.originator === "remote" && tell("message", { from: String(e.request.from.uri), text: e.request.body }));
    ua.on("newRTCSession", (e) => {
      if (e.originator !== "remote") return;
      watch(e.session, true);
      tell("incoming", { from: String(e.request.from.uri), name: e.request.from.display_name || "" });
    });
    ua.start();
  },
  refresh() {
    ua.register();
  },
  unregister() {
    ua.unregister();
  },
  /** The connection is lost, as when a network goes; JsSIP makes a new one by itself. */
  drop() {
    ua.transport.socket._ws.terminate();
  },
  call({ to }) {
    watch(ua.call(to, { mediaStream: silence, mediaConstraints: { audio: true, video: false } }), false);
  },
  answer() {
    session.answer({ mediaStream: silence });
  },
  refuse({ status = 486 }) {
    session.terminate({ status_code: status });
  },
  hangup() {
    session.terminate();
  },
  message({ to, text }) {
    ua.sendMessage(to, text, {
      eventHandlers: {
        succeeded: (e) => tell("sent", { status: e.response.status_code }),
        failed: (e) => tell("sent", { status: e.response ? e.response.status_code : 0 }),
      },
    });
  },
  subscribe({ to, name, accept, expires = 600 }) {
    const subscription = ua.subscribe(to, name, accept, { expires });
    subscription.on("notify", (final, request, body) => tell("notify", { name, to, final, body: body || "" }));
    subscription.on("failed", () => tell("subscription failed", { to }));
    subscription.on("terminated", (code, reason) => tell("subscription ended", { to, reason: reason || "" }));
    subscription.subscribe();
  },
});
