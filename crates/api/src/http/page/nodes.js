// Speaking to nodes: the one that the page came from, and another once that one is gone.
const REFRESH_MS = 2000, ANSWER_MS = 4000, HOME_MS = 10000;
let base = location.origin, peers = [], leftHomeAt = 0;
let secret = sessionStorage.getItem("secret");

const at = id => document.getElementById(id);

async function ask(path, origin = base, init = {}) {
  const headers = { ...init.headers, ...(secret ? { authorization: `Bearer ${secret}` } : {}) };
  const response = await fetch(origin + path, { signal: AbortSignal.timeout(ANSWER_MS), ...init, headers });
  if (response.status === 401) locked(secret !== null);
  return response;
}

async function json(path, origin = base) {
  const response = await ask(path, origin);
  if (!response.ok) throw Object.assign(new Error(`${path} answered ${response.status}`), { answered: true });
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
  refresh();
});

// Any member that answers will do; the node that the page came from is asked again now and then.
async function moveOn() {
  for (const origin of peers.filter(origin => origin !== base)) {
    try {
      await json("/_/status", origin);
      if (base === location.origin) leftHomeAt = Date.now();
      base = origin;
      follow();
      return true;
    } catch { /* the next one */ }
  }
  return false;
}

async function goHome() {
  if (base === location.origin || Date.now() - leftHomeAt < HOME_MS) return;
  leftHomeAt = Date.now();
  try {
    await json("/_/status", location.origin);
    base = location.origin;
    follow();
  } catch { /* still gone */ }
}

// Events as they come, from the node in use. Read by fetch: an EventSource cannot show a secret.
let following = null;
async function follow() {
  following?.abort();
  const mine = following = new AbortController();
  try {
    const response = await ask("/_/events", base, { signal: mine.signal });
    if (!response.ok) throw new Error(String(response.status));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      blocks.forEach(block => {
        const field = name => block.split("\n").find(line => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field("event")) showEvent(field("event"), JSON.parse(field("data") ?? "null"));
      });
    }
  } catch { /* connected again below */ }
  if (following === mine) setTimeout(() => following === mine && follow(), REFRESH_MS);
}

// Prometheus' text, as a map of what it says.
function metrics(text) {
  return new Map(text.split("\n").filter(line => line && line[0] !== "#").map(line => {
    const cut = line.lastIndexOf(" ");
    return [line.slice(0, cut), Number(line.slice(cut + 1))];
  }));
}

async function refresh() {
  clearTimeout(refresh.timer);
  try {
    await goHome();
    const [status, members, slots] = await Promise.all(["/_/status", "/_/members", "/_/slots"].map(path => json(path)));
    peers = members.filter(member => member.state === "alive" && member.http).map(member => `http://${member.http}`);
    at("locked").hidden = true;
    if (following === null) follow();
    show(status, members, slots);
    await Promise.all([showLoad(members), showRoundTrips(members)]);
  } catch (error) {
    if (!error.answered && await moveOn()) return refresh();
    at("ready").textContent = `out of reach (${error.message})`;
    at("ready").className = "unready";
  }
  refresh.timer = setTimeout(refresh, REFRESH_MS);
}
