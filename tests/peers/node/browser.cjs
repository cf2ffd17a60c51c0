// What a phone of a browser has around it: WebSocket, a peer connection whose media are never sent, orders and events.
//
// Orders come as lines of JSON on standard input, {"do": "call", ...}; events go out as lines of JSON on standard
// output, {"event": "answered", ...}. What the phones sent and received stands between them, as it was.
"use strict";

const readline = require("node:readline");
const { WebSocket } = require("ws");

/** Every message of every connection, as text, after its direction. */
class TracedWebSocket extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    this.on("message", (data) => trace("<<", data));
  }

  send(data, ...more) {
    trace(">>", data);
    super.send(data, ...more);
  }
}

function trace(way, data) {
  process.stdout.write(`${way} ${String(data).trimEnd().replace(/\r\n/g, `\n${way} `)}\n`);
}

function tell(event, more = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);
}

/** Carries out the orders, one after the other; one that fails is the event "fault". */
function obey(orders) {
  let last = Promise.resolve();
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const order = JSON.parse(line);
    last = last
      .then(() => orders[order.do](order))
      .catch((error) => tell("fault", { order: order.do, text: String(error && error.stack ? error.stack : error) }));
  }).on("close", () => process.exit(0));
}

let sessions = 0;

/** A description such as a browser makes: encrypted, bundled, with ICE; the same lines go in offers and answers. */
function description(direction = "sendrecv", setup = "actpass") {
  sessions += 1;
  return [
    "v=0", `o=- ${process.pid}${sessions} 2 IN IP4 127.0.0.1`, "s=-", "t=0 0", "a=group:BUNDLE 0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110", "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0", "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx", `a=fingerprint:sha-256 ${Array(32).fill("AB").join(":")}`,
    `a=setup:${setup}`, "a=mid:0", `a=${direction}`, "a=rtcp-mux", "a=rtpmap:111 opus/48000/2",
    "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:110 telephone-event/8000",
    "a=candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host", "",
  ].join("\r\n");
}

/** As much of RTCPeerConnection as JsSIP asks for. */
class PeerConnection extends EventTarget {
  constructor() {
    super();
    this.localDescription = this.remoteDescription = null;
    this.signalingState = "stable";
    this.iceGatheringState = "complete";
    this.iceConnectionState = this.connectionState = "connected";
  }

  async createOffer() {
    return { type: "offer", sdp: description() };
  }

  async createAnswer() {
    return { type: "answer", sdp: description("sendrecv", "active") };
  }

  async setLocalDescription(given) {
    this.localDescription = given;
    this.signalingState = given.type === "offer" ? "have-local-offer" : "stable";
  }

  async setRemoteDescription(given) {
    this.remoteDescription = given;
    this.signalingState = given.type === "offer" ? "have-remote-offer" : "stable";
  }

  addTrack() {}

  getSenders() {
    return [];
  }

  close() {
    this.signalingState = "closed";
  }
}

globalThis.WebSocket = TracedWebSocket;
globalThis.window = globalThis;
globalThis.addEventListener ??= () => {};
globalThis.RTCPeerConnection = PeerConnection;
globalThis.RTCSessionDescription = class {
  constructor(given) {
    Object.assign(this, given);
  }
};
/** A microphone without tracks. */
const silence = { getTracks: () => [], getAudioTracks: () => [], getVideoTracks: () => [] };

module.exports = { description, obey, silence, tell };
