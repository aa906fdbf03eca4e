// Speaking to nodes: the one that the page came from, and another once that one is gone.
const AGAIN_MS = 2000, ANSWER_MS = 3000, SILENT_MS = 5000, HOME_MS = 10000, FAR_MS = 30000;
let base = location.origin, peers = [];
let secret = sessionStorage.getItem("secret");
let unlocked = () => {};

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
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        const field = name => block.split("\n").find(line => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field("event")) take(field("event"), JSON.parse(field("data") ?? "null"));
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
    if (document.hidden) {
      const since = Date.now();
      await seen();
      showEvent("hidden", { seconds: Math.round((Date.now() - since) / 1000), so: "what happened meanwhile is not listed" });
    }
    let failure = new Error("no member answers");
    try {
      await listen(base, "/_/events?with=cluster,figures", take, going = new AbortController());
    } catch (error) {
      failure = error;
    }
    if (document.hidden) continue;
    if (failure.status === 401) {
      await new Promise(done => { unlocked = done; });
      continue;
    }
    if (!await moveOn(failure.status !== undefined)) say("ready", `out of reach (${failure.message})`, "unready");
    await rest(AGAIN_MS);
  }
}

async function moveOn(declined) {
  const others = peers.filter(origin => origin !== base);
  for (const origin of declined ? [...others, base] : [base, ...others]) {
    try {
      await json("/_/status", origin);
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

// What other members tell of themselves, each on a stream of its own.
const watched = new Map();
function watchOnly(members) {
  const wanted = new Map(members.map(member => [member.id, `http://${member.http}`]));
  for (const [id, mine] of watched) {
    if (wanted.get(id) === mine.origin) continue;
    watched.delete(id);
    mine.stop.abort();
  }
  wanted.forEach((origin, id) => watched.has(id) || watch(id, origin));
}

async function watch(id, origin) {
  const mine = { origin, stop: new AbortController() };
  watched.set(id, mine);
  for (let pause = AGAIN_MS; ;) {
    await seen();
    mine.stop = new AbortController();
    try {
      if (watched.get(id) === mine) await listen(origin, "/_/events?with=figures", (kind, data) => {
        if (kind !== "figures") return;
        pause = AGAIN_MS;
        showFigures(id, data);
      }, mine.stop);
    } catch { /* shown below */ }
    if (watched.get(id) !== mine) return;
    if (document.hidden) continue;
    showFigures(id, null);
    await rest(pause);
    pause = Math.min(2 * pause, FAR_MS);
  }
}
