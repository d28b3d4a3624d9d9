// Search runs in a Worker, which browsers refuse to start for pages that are opened as files. Here a hidden frame takes
// its place: it loads the same script, and messages become events of its window.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      const source = new URL(url, location.href).href.replaceAll("&", "&amp;")
      this.frame.srcdoc = `<script src="${source}"></script>`
      this.started = new Promise(resolve => this.frame.addEventListener("load", resolve)).then(() => {
        // What the script posts is meant for the page.
        this.frame.contentWindow.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      })
      document.body.append(this.frame)
    }

    postMessage(data) {
      this.started.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
