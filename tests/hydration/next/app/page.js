import Shop from './shop';

export default function Home() {
  return <Shop video="https://www.youtube-nocookie.com/embed/aqz-KE-bpKQ" />;
}
