// What nodes tell, on the page: kept here, and drawn when the browser next draws.
const SLOTS = 16384, FEED = 100, LOAD_MEMBERS = 64, TRIP_MEMBERS = 12;
let status = null, members = [], slots = { lost: 0, silent: [], runs: [] }, trips = [], figures = {}, colours = new Map();
const stale = new Set();

const make = (tag, text = "", className = "") => {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
};
// What is as it was is left alone: it would be read out again, and lose the keyboard.
const say = (id, text, className) => {
  if (at(id).textContent !== text) at(id).textContent = text;
  if (className !== undefined) at(id).className = className;
};
const swatch = colour => {
  const mark = make("span", "", "swatch");
  if (colour) mark.style.background = colour;
  return mark;
};
const bytes = count => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
};
const span = seconds => seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.floor(seconds / 60)} min`
  : seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} days`;
const short = seconds => seconds == null ? "–" : seconds < 1e-3 ? `${Math.round(seconds * 1e6)} µs`
  : seconds < 1 ? `${(seconds * 1e3).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`;
const percent = share => share == null ? "–" : `${(100 * share).toFixed(0)} %`;

function take(kind, data, id) {
  switch (kind) {
    case "status": return showStatus(data);
    case "members": return showMembers(data);
    case "slots": slots = data; return draw("slots");
    case "round_trips": trips = data; return draw("trips");
    case "figures": figures = data; return draw("load");
    case "history": return showHistory(data);
    default: return showEvent(kind, data, id);
  }
}

function showStatus(data) {
  at("locked").hidden = true;
  status = data;
  draw("facts");
  showMembers(members);
}

function showMembers(data) {
  members = data.sort((a, b) => a.name < b.name ? -1 : 1);
  peers = members.filter(hasDoor).map(({ id, http }) => ({ id, origin: `http://${http}` }));
  draw("members", "load", "trips");
}

// Whether a member's door is more than an address of its own machine, or that machine is the one of the node in use.
function hasDoor({ state, http, quic }) {
  const host = address => address.slice(0, address.lastIndexOf(":"));
  return state === "alive" && http && (!/^(127\.|\[::1\])/.test(http) || status && host(quic) === host(status.quic));
}

// No node can be asked: what a person can do about it.
function alone(failure) {
  say("ready", `out of reach (${failure.message})`, "unready");
  say("moved", "No member answers this browser any more; it is asked again. Doors on loopback are reached from their own machine only, and a page that was " +
    "opened at another address than that of a member's door, as through a proxy or a forwarded port, may read other members only if they were started with " +
    `--allow-host ${location.hostname}.`);
  at("moved").hidden = false;
}

function draw(...what) {
  if (stale.size === 0) requestAnimationFrame(drawNow);
  what.forEach(each => stale.add(each));
}

function drawNow() {
  colour();
  const all = { facts: drawFacts, members: drawMembers, slots: drawSlots, load: drawLoad, trips: drawTrips };
  const wanted = [...stale];
  stale.clear();
  wanted.forEach(each => all[each]());
}

// Colours far apart, the same for a name as long as the page is open.
const places = new Map();
function colour() {
  const tone = getComputedStyle(document.documentElement).getPropertyValue("--tone");
  const holders = slots.runs.map(run => run.holder).filter(holder => holder !== null);
  const names = [...new Set([...members.map(member => member.name), ...holders])].sort();
  names.filter(name => !places.has(name)).forEach(name => places.set(name, places.size));
  const now = names.map(name => [name, `hsl(${(18 + places.get(name) * 137.508) % 360} 62% ${tone})`]);
  if (String(now) === String([...colours])) return;
  colours = new Map(now);
  ["members", "slots", "load"].forEach(each => stale.add(each));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw("slots"));

// Rows by key, changed in place. A cell is its text and more: `class`, `mark` (a colour), `heat` (0 to 1), `link`, `part` (of a bar), `wide` (columns).
function rows(body, wanted) {
  const have = new Map([...body.children].map(row => [row.dataset.key, row]));
  wanted.forEach(([key, cells], place) => {
    let row = have.get(key);
    if (row?.children.length !== cells.length) {
      row?.remove();
      row = make("tr");
      row.dataset.key = key;
      row.append(Object.assign(make("th"), { scope: "row" }), ...cells.slice(1).map(() => make("td")));
    }
    have.delete(key);
    cells.forEach((cell, i) => paint(row.children[i], cell));
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
  });
  have.forEach(row => row.remove());
}

function paint(element, cell) {
  const shown = JSON.stringify(cell);
  if (element.dataset.shown === shown) return;
  element.dataset.shown = shown;
  element.className = cell.class ?? "";
  if (cell.wide) element.colSpan = cell.wide;
  const text = cell.link ? Object.assign(make("a", cell.text), { href: cell.link }) : cell.text;
  element.replaceChildren(text);
  element.style.backgroundImage = cell.heat === undefined ? ""
    : `linear-gradient(color-mix(in srgb, var(--accent) ${Math.round(3 + 22 * cell.heat)}%, transparent) 0 0)`;
  if ("mark" in cell) element.prepend(swatch(cell.mark));
  if (cell.part !== undefined) {
    const bar = make("span", "", "bar"), fill = make("i");
    fill.style.width = `${100 * Math.min(1, cell.part)}%`;
    bar.append(fill);
    element.prepend(bar);
  }
}

const figure = text => ({ text, class: "number figures" });

function drawFacts() {
  const limit = status.max_memory === null ? "" : ` of ${bytes(status.max_memory)}`, away = base !== location.origin;
  document.title = `${status.name} · boato`;
  say("name", status.name);
  say("ready", status.ready ? "ready" : `not ready: ${status.reason ?? "unknown"}`, status.ready ? "ready" : "unready");
  say("facts", `cluster ${status.cluster} · ${status.entries.toLocaleString("en")} entries, ${bytes(status.bytes)}${limit} · up ${span(status.uptime_s)}`);
  say("moved", away ? `The node that this page came from is out of reach: this is what ${status.name} tells. Keys cannot be changed here.` : "");
  at("moved").hidden = !away;
  if (away) at("act").hidden = true;
  const move = status.moving;
  const give = move?.slots_to_give > 0 ? `${move.slots_to_give} slots, ${bytes(move.bytes_to_give)} to give` : "";
  const get = move?.slots_to_take > 0 ? `${move.slots_to_take} slots to take` : "";
  const left = move?.seconds_left == null ? "" : `${span(move.seconds_left)} left`;
  const moving = [give, get, left].filter(Boolean).join(", ");
  say("moving", moving && `${status.name}: ${moving}`);
}

function drawMembers() {
  rows(at("members"), members.map(member => [member.id, [
    { text: member.name, mark: colours.get(member.name) },
    { text: member.state, class: member.state },
    figure(member.load ? String(member.load.slots) : "–"),
    figure(member.load ? bytes(member.load.bytes) : "–"),
    figure(String(member.weight)),
    { text: member.http ?? "", class: "figures", link: hasDoor(member) && `http://${member.http}/_/` },
    { text: member.version, class: "figures" },
  ]]));
}

function drawSlots() {
  const canvas = at("map"), side = canvas.width, context = canvas.getContext("2d"), held = new Map();
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  let moving = 0;
  context.clearRect(0, 0, side, side);
  for (const run of slots.runs) {
    const count = run.to - run.from + 1;
    held.set(run.holder, (held.get(run.holder) ?? 0) + count);
    if (run.holder === null) continue;
    // Slots on the move stand out.
    if (run.state !== "held") moving += count;
    context.fillStyle = run.state === "held" ? colours.get(run.holder) : ink;
    for (let slot = run.from; slot <= run.to;) {
      const left = slot % side, width = Math.min(side - left, run.to - slot + 1);
      context.fillRect(left, Math.floor(slot / side), width, 1);
      slot += width;
    }
  }
  const item = (mark, name, count) => {
    const item = make("li");
    item.append(swatch(mark), make("span", name), make("span", `${count} (${(100 * count / SLOTS).toFixed(1)} %)`, "figures soft"));
    return item;
  };
  const holders = [...held].sort((a, b) => b[1] - a[1]);
  at("legend").replaceChildren(...holders.map(([holder, count]) => item(colours.get(holder), holder ?? "nobody known", count)),
    ...moving > 0 ? [item(ink, "of these on the move", moving)] : []);
  say("silent", slots.silent.length > 0 ? `Not heard from: ${slots.silent.join(", ")}. What they hold is not shown.` : "");
  say("lost", slots.lost > 0 ? `${slots.lost} slots lost in crashes since these nodes started.` : "");
  point();
}

function point() {
  const slot = at("slot").valueAsNumber, run = slots.runs.find(run => run.from <= slot && slot <= run.to);
  say("pointed", run ? `${run.holder ?? "nobody known"}, ${run.state}` : "");
}
at("slot").addEventListener("input", point);
at("map").addEventListener("pointermove", event => {
  const area = event.target.getBoundingClientRect(), side = event.target.width;
  const cell = (offset, size) => Math.min(side - 1, Math.max(0, Math.floor(offset / size * side)));
  at("slot").value = cell(event.clientY - area.top, area.height) * side + cell(event.clientX - area.left, area.width);
  point();
});

function drawLoad() {
  const live = members.filter(member => member.state === "alive"), shown = live.slice(0, LOAD_MEMBERS);
  const table = shown.map(member => [member.id, loadRow(member, figures[member.id])]);
  const more = live.length - shown.length;
  if (more > 0) table.push(["more", [{ text: `and ${more} more` }, { text: "Prometheus watches any number", class: "soft", wide: 7 }]]);
  rows(at("load"), table);
}

function loadRow(member, now) {
  const name = { text: member.name, mark: colours.get(member.name) };
  if (now === undefined) return [name, { text: "…", class: "soft", wide: 7 }];
  if (now === null) return [name, { text: "does not answer, or is of a version that tells nothing of its load", class: "soft", wide: 7 }];
  if (now.reason !== null) name.text += ` (not ready: ${now.reason})`;
  const memory = now.max_memory === null ? { text: bytes(now.bytes) }
    : { text: `${bytes(now.bytes)} of ${bytes(now.max_memory)}`, part: now.bytes / now.max_memory };
  const rate = now.operations_per_s === null ? "–" : Math.round(now.operations_per_s).toLocaleString("en");
  return [name, ...[rate, short(now.p50_s), short(now.p99_s), percent(now.hits)].map(figure), { ...memory, class: "figures" },
    figure(percent(now.forwarded)), figure(String(now.connections))];
}

// How far members are from each other, as their coordinates say.
function drawTrips() {
  const live = new Set(members.filter(member => member.state === "alive").map(member => member.name));
  const names = [...new Set(trips.flatMap(trip => [trip.from, trip.to]))].filter(name => live.has(name)).sort();
  const found = new Map(trips.flatMap(trip => [[`${trip.from} ${trip.to}`, trip.rtt_s], [`${trip.to} ${trip.from}`, trip.rtt_s]]));
  const head = make("tr");
  head.append(make("td"), ...names.map(name => Object.assign(make("th", name, "number"), { scope: "col" })));
  at("trips-head").replaceChildren(head);
  const more = live.size > TRIP_MEMBERS;
  say("trips-more", more ? `Of the first ${TRIP_MEMBERS} of ${live.size} members by name; boato rtt tells of any two.` : "");
  const longest = Math.max(...trips.map(trip => trip.rtt_s ?? 0));
  const cell = seconds => seconds == null ? figure("–") : { ...figure(short(seconds)), heat: seconds / longest };
  rows(at("trips"), names.map(from => [from, [{ text: from }, ...names.map(to => from === to ? figure("") : cell(found.get(`${from} ${to}`)))]]));
}

// The latest event that is listed: who told of it, and when it was by that node's clock and by the browser's.
let newest = { base: "", id: 0, at_ms: 0, at: 0 };

// What the node in use remembers: nothing that is listed already, and of another node nothing that the one before could have told.
// Nobody wants all of it read out.
function showHistory(events) {
  const feed = at("feed"), told = newest;
  feed.ariaLive = "off";
  for (const { id, kind, data } of events) {
    const further = told.base === base ? id > told.id || data.at_ms > told.at_ms : data.at_ms - ahead > told.at;
    if (further) showEvent(kind, data, id);
  }
  setTimeout(() => { feed.ariaLive = null; }, 100);
}

function showEvent(kind, data, id) {
  const { name, at_ms = Date.now(), ...rest } = data ?? {}, when = new Date(at_ms);
  newest = { base, id, at_ms, at: at_ms - ahead };
  const today = when.toDateString() === new Date().toDateString();
  const item = make("li"), time = make("time", today ? when.toLocaleTimeString() : when.toLocaleString());
  const particulars = Object.entries(rest).filter(([key]) => key !== "id").map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  item.append(time, make("span", [kind.replaceAll("_", " "), name, ...particulars].filter(Boolean).join(" · ")));
  at("feed").prepend(item);
  while (at("feed").children.length > FEED) at("feed").lastChild.remove();
}
