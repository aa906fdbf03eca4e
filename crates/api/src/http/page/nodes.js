// Speaking to one node, which tells of all: the one that the page came from, and another once that one is gone.
const AGAIN_MS = 2000, ANSWER_MS = 3000, SILENT_MS = 5000, HOME_MS = 10000;
let base = location.origin, peers = [];
let secret = sessionStorage.getItem("secret");
let unlocked = () => {};
// How far the clock of the node in use is ahead of the browser's, in milliseconds, to half a second.
let ahead = 0;

const at = id => document.getElementById(id);

async function ask(path, origin = base, init = {}) {
  const headers = { ...init.headers, ...(secret ? { authorization: `Bearer ${secret}` } : {}) };
  const response = await fetch(origin + path, { signal: AbortSignal.timeout(ANSWER_MS), ...init, headers });
  if (response.status === 401 && origin === base) locked(secret !== null);
  return response;
}

async function json(path, origin = base) {
  const response = await ask(path, origin);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json();
}

function locked(wrong) {
  at("locked").hidden = false;
  at("refused").textContent = wrong ? "This is not the client secret of this node." : "";
}

at("unlock").addEventListener("submit", event => {
  event.preventDefault();
  secret = at("secret").value;
  sessionStorage.setItem("secret", secret);
  at("locked").hidden = true;
  unlocked();
});

const rest = ms => new Promise(done => setTimeout(done, ms));

// Nobody sees a hidden page: it lets go of its streams, of which browsers allow few at a time, until it is looked at again.
const seen = () => document.hidden ? new Promise(done => document.addEventListener("visibilitychange", done, { once: true })).then(seen) : true;

// Reads a stream of server-sent events until it ends, breaks, is silent for too long or the page is hidden. By fetch: an EventSource
// cannot show a secret. Figures come every second, so that silence says something.
async function listen(origin, path, take, stop = new AbortController()) {
  const hide = () => document.hidden && stop.abort();
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => stop.abort(), SILENT_MS);
  };
  document.addEventListener("visibilitychange", hide);
  heard();
  try {
    const response = await ask(path, origin, { signal: stop.signal });
    if (!response.ok) throw Object.assign(new Error(`answered ${response.status}`), { status: response.status });
    const date = Date.parse(response.headers.get("date"));
    ahead = date ? date + 500 - Date.now() : 0;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const field = name => block.split("\n").find(line => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field("event")) take(field("event"), JSON.parse(field("data") ?? "null"), Number(field("id")));
      }
    }
  } finally {
    clearTimeout(silence);
    document.removeEventListener("visibilitychange", hide);
  }
}

// What the node in use tells of the cluster, and of itself. Once its stream is over, the first that answers is used: it again, or any
// other member; another first, if it does not want to tell.
let going = new AbortController();
async function follow() {
  for (; ;) {
    await seen();
    let failure = new Error("no member answers");
    try {
      await listen(base, "/_/events?with=history,cluster,figures", take, going = new AbortController());
    } catch (error) {
      failure = error;
    }
    if (document.hidden) continue;
    if (failure.status === 401) {
      await new Promise(done => { unlocked = done; });
      continue;
    }
    if (!await moveOn(failure.status !== undefined)) alone(failure);
    await rest(AGAIN_MS);
  }
}

// A door is a member's only if that member answers there: behind an address like 127.0.0.1:7480 every machine has another.
async function moveOn(declined) {
  const others = peers.filter(peer => peer.origin !== base);
  for (const { origin, id } of declined ? [...others, { origin: base }] : [{ origin: base }, ...others]) {
    try {
      const told = await json("/_/status", origin);
      if (id !== undefined && id !== told.id) continue;
      base = origin;
      return true;
    } catch { /* the next one */ }
  }
  return false;
}

// The node that the page came from is asked again now and then.
async function goHome() {
  for (; ;) {
    await rest(HOME_MS);
    if (base === location.origin || document.hidden) continue;
    try {
      await json("/_/status", location.origin);
      base = location.origin;
      going.abort();
    } catch { /* still gone */ }
  }
}

// A browser that follows a link shows no secret: where there is one, what the link names is fetched.
document.querySelector("nav").addEventListener("click", async event => {
  const link = event.target.closest("a");
  if (!link || (!secret && at("locked").hidden)) return;
  event.preventDefault();
  if (!secret) return at("secret").focus();
  try {
    const response = await ask(link.getAttribute("href"));
    if (!response.ok) return;
    const url = URL.createObjectURL(await response.blob());
    open(url, "_blank");
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch { /* the page says that its node is gone */ }
});
