// A UDP ping client as a student writes it.
import java.io.IOException;
import java.net.*;

public class Right {
    public static void main(String[] args) throws IOException {
        InetAddress host = InetAddress.getByName(args[0]);
        int port = Integer.parseInt(args[1]);
        DatagramSocket client = new DatagramSocket();
        for (int number = 1; number <= 10; number++) {
            byte[] message = ("Ping " + number + " " + System.currentTimeMillis()).getBytes();
            long start = System.nanoTime();
            client.send(new DatagramPacket(message, message.length, host, port));
            while (true) {
                long left = 1000 - (System.nanoTime() - start) / 1000000;
                DatagramPacket packet = new DatagramPacket(new byte[1024], 1024);
                try {
                    if (left <= 0) throw new SocketTimeoutException();
                    client.setSoTimeout((int) left);
                    client.receive(packet);
                } catch (SocketTimeoutException e) {
                    System.out.println("Request timed out");
                    break;
                }
                double rtt = (System.nanoTime() - start) / 1e9;
                String reply = new String(packet.getData(), 0, packet.getLength());
                String[] words = reply.split(" ");
                if (packet.getPort() == port && packet.getAddress().equals(host)
                        && words.length > 1 && words[1].equals(Integer.toString(number))) {
                    System.out.printf("%s RTT = %.6f s%n", reply, rtt);
                    break;
                }
            }
        }
        client.close();
    }
}
