// Search on pages that are opened from the disk: browsers start no workers there, so that the search runs in a frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      window.answerOfSearch = data => this.dispatchEvent(new MessageEvent("message", { data }))
      // In a frame, postMessage would send to the frame itself; in a worker it sends to the page.
      this.frame.srcdoc =
        `<script>window.postMessage = data => parent.answerOfSearch(data)</script><script src="${url}"></script>`
      this.frame.onload = () => {
        this.waiting.forEach(data => this.hand(data))
        this.waiting = undefined
      }
      document.documentElement.append(this.frame)
    }
    postMessage(data) {
      this.waiting ? this.waiting.push(data) : this.hand(data)
    }
    hand(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
    }
    terminate() {
      this.frame.remove()
    }
  }
}
