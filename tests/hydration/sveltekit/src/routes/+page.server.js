export function load() {
  return { video: 'https://www.youtube-nocookie.com/embed/aqz-KE-bpKQ' };
}
