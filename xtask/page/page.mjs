// The page of a node, in a real browser: three nodes, one joins, one is drained, one is killed, and the page shows it; then the nodes
// that it was told by are lost one after the other.
// Usage: node page.mjs BOATO BROWSER DIRECTORY. Screenshots go to DIRECTORY.
import { spawn } from "node:child_process";
import net from "node:net";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program, executablePath, shots] = process.argv.slice(2);
const PATIENCE_MS = 60_000;
const dir = mkdtempSync(join(tmpdir(), "boato-page-"));
mkdirSync(shots, { recursive: true });
const nodes = new Map();

async function until(what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  for (let last; ; await new Promise(done => setTimeout(done, 100))) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) { last = error; }
    if (Date.now() > deadline) throw new Error(`${what}: not in time`, { cause: last });
  }
}

async function start(name, cluster, { http: door = "127.0.0.1:0", more = [] } = {}) {
  const file = join(dir, `${name}.json`), any = "127.0.0.1:0";
  rmSync(file, { force: true });
  const args = ["run", "--name", name, "--cluster", cluster, "--ready-file", file, "--quic", any, "--http", door, "--resp", any,
    "--resp-cluster", any, ...more];
  const child = spawn(program, args, { env: { TMPDIR: dir }, stdio: "ignore" });
  const { http } = await until(`${name} listens`, () => JSON.parse(readFileSync(file)));
  const node = { name, child, origin: `http://${http}` };
  nodes.set(name, node);
  return node;
}

function expect(holds, what) {
  if (!holds) throw new Error(what);
  console.log(`ok: ${what}`);
}

// What assistive technology and keyboards need, as far as a program sees it.
async function isUsable(page) {
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("input, button, textarea, canvas, a")]
    .filter(element => element.offsetParent && !(element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim())).length);
  expect(unnamed === 0, "everything to act on has a name");
  await page.locator("body").press("Tab");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  expect(outline !== "none", "what the keyboard is on can be seen");
  for (const [role, name] of [["table", "Members"], ["table", "Load"], ["region", "Slots"], ["log", "Events"], ["rowheader", "one"],
    ["img", /Which node holds/], ["spinbutton", "Slot"], ["textbox", "Key"]]) {
    expect(await page.getByRole(role, { name }).count() > 0, `assistive technology finds the ${role} ${name}`);
  }
  await page.getByRole("spinbutton", { name: "Slot" }).fill("16383");
  await page.keyboard.press("ArrowDown");
  expect(await page.inputValue("#slot") === "16382" && /(one|two|three), held/.test(await page.textContent("#pointed")),
    "the keyboard asks for the holder of a slot");
  await isLegible(page);
}

// All text stands out from what is behind it as WCAG 2.2 asks for (1.4.3), light and dark.
async function isLegible(page) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const faint = await page.evaluate(() => {
      const parts = colour => colour.match(/[\d.]+/g).map(Number);
      const light = colour => parts(colour).slice(0, 3).map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
      const ground = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return (parts(colour)[3] ?? 1) > 0 ? colour : ground(element.parentElement);
      };
      const said = element => element.offsetParent && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
      return [...document.querySelectorAll("body *")].filter(said).filter(element => {
        const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
      }).map(element => `${element.tagName} ${element.textContent.slice(0, 20)}`);
    });
    expect(faint.length === 0, `text can be read, ${colorScheme} (${faint.join("; ")})`);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

const sizes = { desk: { width: 1280, height: 900 }, tablet: { width: 820, height: 1180 }, phone: { width: 390, height: 844 } };

// Of the whole page at all sizes, light and dark; none needs scrolling sideways.
async function photograph(page, stage) {
  for (const [name, size] of Object.entries(sizes)) {
    await page.setViewportSize(size);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => new Promise(requestAnimationFrame));
      await page.screenshot({ path: join(shots, `${stage}-${name}-${colorScheme}.png`), fullPage: true });
    }
    expect(!await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), `a ${name} need not be scrolled sideways`);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(sizes.desk);
}

async function watch(browser) {
  // Hand-offs so slow that a person could watch them.
  const slow = { more: ["--handoff-rate", "256KiB"] };
  const [one, two] = [await start("one", "page", slow), await start("two", "page", slow), await start("three", "page", slow)];
  const context = await browser.newContext({ viewport: sizes.desk, colorScheme: "light" });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", error => complaints.push(error.message));
  page.on("console", message => message.text().includes("Content Security Policy") && complaints.push(message.text()));
  const asked = [];
  page.on("request", request => asked.push(request.url()));
  await page.goto(`${one.origin}/_/`);
  const row = name => page.locator("#members tr", { hasText: name });
  const state = name => row(name).locator("td").first().textContent();
  const shares = () => page.locator("#legend li").filter({ hasNotText: "on the move" }).count();
  const load = name => page.locator("#load tr", { hasText: name }).textContent();
  await until("three nodes share the slots", async () => await shares() === 3 && await page.locator("#members tr").count() === 3);
  expect(await page.locator("#ready").textContent() === "ready", "the node is ready");
  await until("the node tells of the others, too", async () =>
    await page.locator("#load tr").count() === 3 && !(await page.locator("#load").textContent()).includes("does not answer"));
  await until("distances are known", async () => /µs|ms/.test(await page.locator("#trips").textContent()));
  await until("what happened before the page was opened is listed", async () =>
    await page.locator("#feed li", { hasText: /joined.*(two|three)/ }).count() >= 2);
  await isUsable(page);

  // What has the keyboard keeps it while figures come and go.
  await row("two").locator("a").focus();
  const value = "x".repeat(64 * 1024);
  for (let i = 0; i < 300; i += 1) await fetch(`${one.origin}/key/${i}`, { method: "PUT", body: value });
  await until("operations are counted", async () => /[1-9]/.test(await page.locator("#load tr td:nth-child(2)").first().textContent()));
  await until("and how long they took", async () => / (µs|ms)/.test(await load("one")));
  await until("memory is shown", async () => (await page.locator("#members").textContent()).includes("MiB"));
  expect(await page.evaluate(() => document.activeElement.href) === `${two.origin}/_/`, "what has the keyboard keeps it");

  await page.fill("#key", "greeting");
  await page.click("text=Look up");
  await page.waitForSelector("text=key not found");
  await page.click("#set");
  await page.fill("#value", "hello from a browser");
  await page.fill("#ttl", "600");
  await page.click("#ask >> text=Cancel");
  expect((await fetch(`${two.origin}/greeting`)).status === 404, "nothing is written without a confirmation");
  await page.click("#set");
  await page.fill("#value", "hello from a browser");
  await page.click("#yes");
  await page.waitForSelector("#found pre:has-text('hello from a browser')");
  expect((await (await fetch(`${two.origin}/greeting`)).text()) === "hello from a browser", "a key is set for all nodes");
  expect(/10 min|9 min/.test(await page.locator("#found").textContent()), "its time to live is shown");
  await photograph(page, "three");
  await page.click("#delete");
  await page.keyboard.press("Enter");
  expect((await fetch(`${two.origin}/greeting`)).status === 200, "Enter alone deletes nothing");
  await page.click("#delete");
  await page.click("#yes");
  await page.waitForSelector("text=deleted");
  expect((await fetch(`${two.origin}/greeting`)).status === 404, "a key is deleted");

  await fetch(`${one.origin}/binary?ttl=500`, { method: "PUT", body: new Uint8Array([255, 0, 254]), headers: { "content-type": "image/x" } });
  await page.fill("#key", "binary");
  await page.click("text=Look up");
  await page.waitForSelector("#found dd:has-text('image/x')");
  expect(await page.locator("#found pre").textContent() === "ff 00 fe", "a binary value is shown in hexadecimal digits");
  await page.click("#set");
  const kept = [await page.inputValue("#value"), Number(await page.inputValue("#ttl")) > 400, await page.isVisible("#whole")];
  expect(kept.join() === ",true,true", "a binary value is not damaged by editing, and its time is kept");
  await page.screenshot({ path: join(shots, "dialog-light.png") });
  await page.click("#ask >> text=Cancel");

  const four = await start("four", "page", slow);
  const moves = async () => /on the move|to give/.test(await page.textContent("#legend") + await page.textContent("#moving"));
  await until("slots are seen to move", moves);
  await page.screenshot({ path: join(shots, "moving-desk-light.png"), fullPage: true });
  await until("a node that joins is shown with its share", async () => await shares() === 4 && await state("four") === "alive");
  await until("its join is among the events", async () => (await page.locator("#feed").textContent()).includes("four"));
  console.log("ok: a node that joins is shown");
  await until("slots come to rest", async () => !await moves());
  // As when another tab of the browser is shown.
  const turn = hidden => page.evaluate(hidden => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  const streams = async () => /^boato_http_connections (\d+)/m.exec(await (await fetch(`${one.origin}/_/metrics`)).text())[1];
  const before = Number(await streams());
  const listed = name => page.locator("#feed li", { hasText: name }).count();
  await fetch(`${one.origin}/_/event?name=earlier`, { method: "POST" });
  await until("an event is listed", async () => await listed("earlier") === 1);
  await turn(true);
  await until("a page that nobody sees lets go of its streams", async () => Number(await streams()) < before);
  const known = asked.length;
  await fetch(`${one.origin}/_/event?name=meanwhile`, { method: "POST" });
  await turn(false);
  await until("and takes them up again", async () => asked.length > known && await listed("meanwhile") > 0);
  expect(await listed("meanwhile") === 1 && await listed("earlier") === 1, "with what happened meanwhile, and nothing twice");
  console.log("ok: a page that nobody sees asks for nothing");
  await fetch(`${four.origin}/_/drain`, { method: "POST" });
  await until("what a node waits for is shown", async () => (await load("four")).includes("not ready: drain"));
  await fetch(`${four.origin}/_/weight?to=2`, { method: "POST" });
  await until("its new weight, too", async () => await row("four").locator("td").nth(3).textContent() === "2");
  await until("and that it serves again", async () => !(await load("four")).includes("not ready") && await shares() === 4);
  console.log("ok: a node that is drained and weighted anew is shown");
  // It stands still first, which takes the others seconds to call a death.
  nodes.get("three").child.kill("SIGSTOP");
  await until("a node that says nothing is named", async () =>
    (await page.textContent("#silent")).includes("three") && (await load("three")).includes("does not answer"));
  nodes.get("three").child.kill("SIGKILL");
  await until("a node that is killed is shown as dead", async () => await state("three") === "dead");
  await until("its slots go to others", async () => await shares() === 3);
  console.log("ok: a node that is killed is shown");

  expect(asked.every(url => url.startsWith(one.origin)), "nobody but the node that the page came from is asked for anything");
  expect(!asked.some(url => /_\/(metrics|members|slots|status|rtt)/.test(url)), "nothing is asked for again and again: all of it is streamed");

  one.child.kill("SIGKILL");
  await until("the page goes on with another node", async () => (await page.locator("#moved").textContent()).includes("out of reach"));
  await until("which knows that the first is dead", async () => await state("one") === "dead");
  expect(await page.isHidden("#act"), "nothing is offered that cannot be done there");
  await photograph(page, "moved");
  const used = nodes.get(await page.locator("#name").textContent());
  used.child.kill("SIGSTOP");
  await until("and with a third, when that one says nothing any more", async () => {
    const name = await page.locator("#name").textContent();
    return name !== used.name && await state(name) === "alive";
  });
  used.child.kill("SIGCONT");
  await start("one", "page", { ...slow, http: one.origin.slice("http://".length) });
  await until("it goes home when its node is back", async () =>
    await page.locator("#name").textContent() === "one" && await page.locator("#moved").isHidden());
  console.log("ok: the page survives the loss of nodes");
  expect(complaints.length === 0, `no error in the page's script (${complaints.join("; ")})`);
  await context.close();
}

async function unlock(browser) {
  const file = join(dir, "secret");
  writeFileSync(file, "open-sesame\n", { mode: 0o600 });
  const node = await start("locked", "locked", { more: ["--client-secret-file", file] });
  const page = await browser.newPage();
  await page.goto(`${node.origin}/_/`);
  await page.fill("#secret", "wrong");
  await page.click("#unlock button");
  await page.waitForSelector("text=This is not the client secret");
  await page.fill("#secret", "open-sesame");
  await page.click("#unlock button");
  await until("the page opens with the secret", async () => await page.locator("#ready").textContent() === "ready");
  const opened = page.context().waitForEvent("page");
  await page.click("nav >> text=status");
  const status = await opened;
  await until("its links open with it, too", async () => (await status.locator("body").textContent()).includes('"cluster"'));
  console.log("ok: the page asks for the client secret");
}

// Listens at an address of its own and passes everything on, as a forwarded port does.
async function forward({ origin }) {
  const { hostname, port } = new URL(origin), open = new Set();
  const server = net.createServer(client => {
    const node = net.connect(port, hostname);
    for (const [from, to] of [[client, node], [node, client]]) {
      open.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy()).on("close", () => to.destroy() && open.delete(from));
    }
  });
  await new Promise(done => server.listen(0, "127.0.0.1", done));
  const cut = () => { server.close(); open.forEach(socket => socket.destroy()); };
  return { port: server.address().port, cut };
}

// Members are seen whole from wherever one of them is reached.
async function seeFromElsewhere(browser) {
  const limit = size => ({ more: ["--max-memory", size, "--allow-host", "allowed.test"] });
  const a = await start("a", "elsewhere", limit("64MiB")), b = await start("b", "elsewhere", limit("32MiB"));
  const watch = async origin => {
    const page = await browser.newPage();
    await page.goto(`${origin}/_/`);
    const load = page.locator("#load");
    await until("both are shown", async () => /of 64.0 MiB.*of 32.0 MiB/.test(await load.textContent()));
    return page;
  };

  // As where every machine has a door of its own at 127.0.0.1:7480: this browser gets the first node at the address of the second.
  const misled = await browser.newContext();
  await misled.route(url => url.href.startsWith(b.origin), route => route.continue({ url: route.request().url().replace(b.origin, a.origin) }));
  const mistaken = await misled.newPage();
  await mistaken.goto(`${a.origin}/_/`);
  const row = mistaken.locator("#load tr").nth(1);
  await until("each is shown", async () => (await row.textContent()).includes("MiB"));
  expect((await row.textContent()).includes("of 32.0 MiB"), "what a node tells is not shown as another's, though the browser reaches it at the other's door");
  await misled.close();

  const mapped = await forward(a), page = await watch(`http://127.0.0.1:${mapped.port}`);
  console.log("ok: all members are shown by a page at a forwarded port");
  mapped.cut();
  await until("it says what to do when it reaches nobody", async () => (await page.textContent("#moved")).includes("--allow-host"));
  console.log("ok: a page that reaches nobody says what to do");
  await page.close();

  const named = await forward(a), allowed = await watch(`http://allowed.test:${named.port}`);
  named.cut();
  await until("a page of an allowed host goes on with another member", async () => (await allowed.textContent("#moved")).includes("this is what"));
  expect(await allowed.textContent("#ready") === "ready", "a page of an allowed host goes on with another member");
  await allowed.close();
  [a, b].forEach(node => node.child.kill("SIGKILL"));
}

let failed = false;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--host-resolver-rules=MAP allowed.test 127.0.0.1"] });
try {
  await watch(browser);
  await unlock(browser);
  await seeFromElsewhere(browser);
} catch (error) {
  failed = true;
  console.error(error);
  const page = browser.contexts().flatMap(context => context.pages()).at(-1);
  await page?.screenshot({ path: join(shots, "failed.png"), fullPage: true });
} finally {
  await browser.close();
  for (const { child } of nodes.values()) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
