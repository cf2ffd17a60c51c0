// SIP.js as a phone: `node sipjs.mjs`, orders and events as browser.cjs has them.
import { createRequire } from "node:module";

const { description, obey, tell } = createRequire(import.meta.url)("./browser.cjs");
const SIP = await import("sip.js");

let ua = null;
let registerer = null;
let session = null;
let publisher = null;

const target = (uri) => SIP.UserAgent.makeURI(uri);

/** Media that are described and never sent. */
class FakeMedia {
  async getDescription() {
    const offer = this.remote === undefined;
    return { body: description("sendrecv", offer ? "actpass" : "active"), contentType: "application/sdp" };
  }

  hasDescription(contentType) {
    return contentType === "application/sdp";
  }

  async setDescription(sdp) {
    this.remote = sdp;
  }

  sendDtmf() {
    return false;
  }

  close() {}
}

function watch(newSession) {
  session = newSession;
  newSession.stateChange.addListener((state) => {
    if (state === SIP.SessionState.Established) tell("answered");
    if (state === SIP.SessionState.Terminated) tell("ended");
  });
  newSession.delegate = {
    onCancel: (cancel) => tell("cancelled", { reason: cancel.request.getHeader("Reason") || "" }),
  };
}

async function register() {
  await registerer.register({
    requestDelegate: {
      onAccept: (response) => tell("registered", { contacts: response.message.getHeaders("Contact") }),
      onReject: (response) => tell("refused", { status: response.message.statusCode }),
    },
  });
}

obey({
  /** {server, uri, password, expires}: connects, and registers. */
  async register({ server, uri, password, expires = 600, instance }) {
    const aor = target(uri);
    ua = new SIP.UserAgent({
      uri: aor,
      authorizationUsername: aor.user,
      authorizationPassword: password,
      transportOptions: { server },
      sessionDescriptionHandlerFactory: () => new FakeMedia(),
      logLevel: "error",
      userAgentString: "SIP.js",
      instanceId: instance,
      sipExtensionReplaces: "Supported",
      delegate: {
        onInvite: (invitation) => {
          watch(invitation);
          const from = invitation.remoteIdentity;
          tell("incoming", { from: String(from.uri), name: from.displayName || "" });
        },
        onMessage: (message) => {
          tell("message", { from: String(message.request.from.uri), text: message.request.body });
          message.accept();
        },
        onDisconnect: async (error) => {
          tell("disconnected");
          if (!error) return; // asked for
          await ua.reconnect();
          await register();
        },
      },
    });
    await ua.start();
    registerer = new SIP.Registerer(ua, { expires, instanceId: instance, regId: 1 });
    registerer.stateChange.addListener((state) => state === SIP.RegistererState.Unregistered && tell("unregistered"));
    await register();
  },
  refresh: register,
  async unregister() {
    await registerer.unregister();
  },
  /** The connection is lost, as when a network goes; a new one is made at once. */
  drop() {
    ua.transport.ws.terminate();
  },
  async call({ to, replaces }) {
    const more = replaces ? { extraHeaders: [`Replaces: ${replaces}`] } : {};
    watch(new SIP.Inviter(ua, target(to), more));
    await session.invite({
      requestDelegate: {
        onProgress: (response) => tell("ringing", { status: response.message.statusCode }),
        onReject: (response) => tell("rejected", { status: response.message.statusCode }),
      },
    });
  },
  async answer() {
    await session.accept();
  },
  async refuse({ status = 486 }) {
    await session.reject({ statusCode: status });
  },
  async hangup() {
    if (session.state === SIP.SessionState.Established) await session.bye();
    else await session.cancel();
  },
  async message({ to, text }) {
    await new SIP.Messager(ua, target(to), text).message({
      requestDelegate: {
        onAccept: (response) => tell("sent", { status: response.message.statusCode }),
        onReject: (response) => tell("sent", { status: response.message.statusCode }),
      },
    });
  },
  async subscribe({ to, name, accept, expires = 600 }) {
    const subscriber = new SIP.Subscriber(ua, target(to), name, { expires, extraHeaders: [`Accept: ${accept}`] });
    subscriber.delegate = {
      onNotify: (notification) => {
        const { request } = notification;
        tell("notify", { name, to, state: request.getHeader("Subscription-State"), body: request.body });
        notification.accept();
      },
    };
    subscriber.stateChange.addListener(
      (state) => state === SIP.SubscriptionState.Terminated && tell("subscription ended", { to }),
    );
    await subscriber.subscribe();
  },
  /** Its own presence (RFC 3903). */
  async publish({ body }) {
    if (publisher === null) {
      const options = { contentType: "application/pidf+xml", expires: 600 };
      publisher = new SIP.Publisher(ua, ua.configuration.uri, "presence", options);
      publisher.stateChange.addListener((state) => tell("publication", { state }));
    }
    await publisher.publish(body);
  },
});
