// Keeps the page's files, so that it works without a connection. Files under assets/ never change:
// their names hold their content's hash.

const FILES = /* files */ [];
const OURS = `${self.registration.scope} `; // others may share the origin
const KEPT = `${OURS}/* version */`;

// From the server itself: what the browser has kept may be of the version before.
const fresh = (file) => (file.startsWith("assets/") ? file : new Request(file, { cache: "reload" }));

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES.map(fresh))));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith(OURS) && name !== KEPT) await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

// Kept files first, but for the page itself: that may be newer.
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  event.respondWith((async () => {
    const cache = await caches.open(KEPT);
    const kept = await cache.match(request, { ignoreSearch: true });
    if (request.mode !== "navigate" && kept) return kept;
    try {
      const answer = await fetch(request);
      if (request.url.includes("/assets/") && answer.ok) { // a full disk takes nothing away
        event.waitUntil(cache.put(request, answer.clone()).catch(() => {}));
      }
      return answer;
    } catch (error) {
      if (kept || request.mode === "navigate") return kept || cache.match("./index.html");
      throw error;
    }
  })());
});
