// Shows new posts without a reload, and times in the reader's own zone.
const showLocalTimes = () => {
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.title = time.dateTime;
    time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
  }
};

let shown = document.querySelector("main").innerHTML;

const refresh = async () => {
  if (document.hidden || document.querySelector("video")?.currentTime) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const current = page.querySelector("main").innerHTML;
  if (current === shown) return;
  shown = current;
  document.querySelector("main").innerHTML = current;
  showLocalTimes();
};

showLocalTimes();
setInterval(refresh, 2000);
